import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.core.rarefaction import chance_seen


@given(places=st.lists(st.sets(st.integers(0, 6), min_size=1), max_size=5), size=st.integers(0, 7))
def test_equals_the_share_of_all_draws(places: list[set[int]], size: int) -> None:
    draws = [set(draw) for draw in itertools.combinations(range(7), size)]
    expected = [np.mean([bool(draw & where) for draw in draws]) for where in places]
    assert chance_seen([len(where) for where in places], 7, size) == pytest.approx(expected, abs=1e-12)


def test_a_single_place_is_drawn_as_often_as_any() -> None:
    assert chance_seen([1, 1], 10**6, 10**5) == pytest.approx([0.1, 0.1], rel=1e-12)


def test_two_places_by_hand() -> None:
    # 1 - C(3, 2) / C(5, 2) = 1 - 3 / 10.
    assert chance_seen([2], 5, 2) == pytest.approx([0.7], rel=1e-15)


def test_all_places_miss_nothing_and_none_see_nothing() -> None:
    assert chance_seen([1, 3, 5], 5, 5).tolist() == [1, 1, 1]
    assert chance_seen([1, 3, 5], 5, 0).tolist() == [0, 0, 0]
