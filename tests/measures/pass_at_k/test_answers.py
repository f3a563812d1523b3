"""Which answers are as good as the reference's."""

import math
from typing import Any

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.measures.pass_at_k.answers import agree, same

nan = math.nan


@pytest.mark.parametrize(
    ("found", "expected", "is_same"),
    [
        (nan, nan, True),
        ([nan, 1], [float("nan"), 1], True),
        ((1, [nan]), (1, [nan]), True),
        ({"a": nan}, {"a": -nan}, True),
        ({nan, 1}, {1, float("nan")}, True),
        (complex(nan, 1), complex(nan, 1), True),
        (nan, 1.0, False),
        (1.0, nan, False),
        ("nan", nan, False),
        (None, nan, False),
        ([nan], (nan,), False),
        ([nan, nan], [nan], False),
        ({nan, 2}, {nan, 1}, False),
        ({"b": nan}, {"a": nan}, False),
        (True, 1, True),
        (1, 1.0, True),
        ([], None, False),
        (None, [], False),
        ("ab", ["a", "b"], False),
        (-math.inf, math.inf, False),
    ],
)
def test_same(found: Any, expected: Any, is_same: bool) -> None:
    assert same(found, expected) is is_same


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=scaled(200), deadline=None)
@given(values, values)
def test_without_nan_it_is_equality(one: Any, other: Any) -> None:
    assert same(one, one)
    assert same(one, other) == same(other, one)
    if "nan" not in repr((one, other)):
        assert same(one, other) == (one == other)
    assert agree("any", one, one, [])


@pytest.mark.parametrize(
    ("found", "expected", "tolerance", "agrees"),
    [
        (1.0 + 5e-7, 1.0, 0, True),
        (1.0 + 5e-6, 1.0, 0, False),
        (1.05, 1.0, 0.1, True),
        ([1.0, nan], [1.0 + 1e-9, nan], 0, True),
        ([1.0], [1.0, 2.0], 0, False),
        (1, 1.0000001, 0, False),
        (nan, 1.0, 0, False),
        (math.inf, 1.0, 0, False),
        (1.0, math.inf, 0, False),
        (1, 2, 0, False),
        (math.inf, math.inf, 0, True),
    ],
)
def test_numbers_with_a_fraction(found: Any, expected: Any, tolerance: float, agrees: bool) -> None:
    assert agree("any", found, expected, [], tolerance) is agrees
