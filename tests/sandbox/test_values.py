"""Plain data arrives as what it was, of exactly the built-in types, and nothing else arrives, whatever was written."""

import enum
import json
import math
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.sandbox.values import decode, encode

EXACT = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    list,
    tuple,
    set,
    frozenset,
    dict,
    Fraction,
    Decimal,
)


class Unknown(Exception):
    """What is no plain data."""


def refuse(value: Any) -> Any:
    raise Unknown(type(value))


def nobody(whose: str, number: int) -> Any:
    raise LookupError(whose, number)


def sent(value: Any) -> Any:
    return decode(json.dumps(encode(value, refuse)).encode(), nobody)


def is_exact(value: Any) -> bool:
    if type(value) is dict:
        return all(is_exact(name) and is_exact(item) for name, item in value.items())
    if type(value) in (list, tuple, set, frozenset):
        return all(map(is_exact, value))
    return type(value) in EXACT


def alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)


large = st.builds(lambda bits, rest: (1 << bits) + rest, st.integers(60, 20_000), st.integers())
simple = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
    | st.fractions() | st.decimals(allow_nan=False) | large
)  # fmt: skip
hashable = st.recursive(simple, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2), max_leaves=6)
plain = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.sets(hashable, max_size=2)
        | st.dictionaries(hashable, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=scaled(100), deadline=None)
@given(plain)
def test_plain_data_arrives_as_it_was(value: Any) -> None:
    found = sent(value)
    assert is_exact(found)
    if not isinstance(value, set | frozenset | dict | tuple | list):  # whose members may come in another order
        assert alike(found, value) or (value != value and found != found)
    assert encode(found, refuse) == encode(value, refuse) or isinstance(value, set | frozenset | dict | tuple | list)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["tuple", "set", "dict", "int", "float", "complex", "bytes", "fraction", "decimal", "mine", "yours"]
            )
            | st.text(max_size=3),
            inner,
            max_size=2,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=scaled(300), deadline=None)
@given(anything.map(json.dumps).map(str.encode) | st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_whatever_was_written_only_plain_data_arrives(written: bytes) -> None:
    try:
        found = decode(written, nobody)
    except ValueError:
        return
    assert is_exact(found)


class Five(enum.IntEnum):
    FIVE = 5


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Liar(3), 3),
        (Five.FIVE, 5),
        (type("Text", (str,), {"__eq__": lambda *_: True, "__str__": lambda _: "?", "__hash__": None})("a"), "a"),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (namedtuple("Point", "x y")(1, 2), (1, 2)),
        ({True: [Liar(1)]}, {True: [1]}),
        ("\ud800", "\ud800"),
        (-0.0, -0.0),
    ],
)
def test_a_subclass_arrives_as_what_it_derives_from(value: Any, arrives: Any) -> None:
    found = sent(value)
    assert is_exact(found)
    assert alike(found, arrives)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, complex(math.nan, math.inf)])
def test_what_json_has_no_form_for(value: Any) -> None:
    assert repr(sent([value])) == repr([value])


@pytest.mark.parametrize("value", [object(), len, range(3), iter([]), {"a": {1: print}}])
def test_what_is_no_plain_data_is_referred_to(value: Any) -> None:
    with pytest.raises(Unknown):
        encode(value, refuse)
    assert encode([len], lambda _: {"mine": 4}) == [{"mine": 4}]
    assert decode(b'[{"mine": 4}]', lambda *named: named) == [("mine", 4)]


@pytest.mark.parametrize(
    "written",
    ["NaN", "[1", '{"tuple": 1}', '{"tuple": [], "set": []}', "{}", '{"set": [[1]]}', '{"dict": [1]}',
     '{"dict": [[1, 2, 3]]}', '{"int": "x"}', '{"mine": true}', '{"fraction": [1, 0]}', '{"decimal": "x"}',
     '{"complex": ["1"]}', '{"eval": "1"}', "[" * 10**5, "9" * 5000, '{"bytes": "0"}', '{"mine": 1}'],
)  # fmt: skip
def test_what_is_no_such_json(written: str) -> None:
    with pytest.raises(ValueError, match="no plain data"):
        decode(written.encode(), nobody)
