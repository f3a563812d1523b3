import itertools
import math
from collections import Counter
from collections.abc import Callable

import pytest
from raysim.strategies.designs import Order, latin_orders, random_orders
from scipy.stats import chisquare

Draw = Callable[[int, int, int], list[Order]]

both = pytest.mark.parametrize("draw", [random_orders, latin_orders])


def block_size(n: int) -> int:
    """Orders of a design in which carry-over is balanced."""
    return 2 * n if n % 2 and n > 1 else n


@both
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_a_sample_of_all_is_all(draw: Draw, n: int) -> None:
    drawn = draw(n, math.factorial(n), 1)
    assert sorted(drawn) == list(itertools.permutations(range(n)))


@both
@pytest.mark.parametrize(("n", "count"), [(4, 12), (5, 35), (6, 36), (7, 21), (20, 60)])
def test_orders_are_different_and_whole(draw: Draw, n: int, count: int) -> None:
    drawn = draw(n, count, 3)
    assert len(set(drawn)) == len(drawn) == count
    assert all(sorted(order) == list(range(n)) for order in drawn)


@both
def test_a_larger_sample_begins_with_a_smaller(draw: Draw) -> None:
    samples = [draw(5, count, 1) for count in range(5, 125, 5)]
    assert all(larger[: len(smaller)] == smaller for smaller, larger in itertools.pairwise(samples))


def test_a_seed_gives_the_same_orders_everywhere() -> None:
    """Experiments name a seed, not orders: other orders for it would be another experiment."""
    assert random_orders(4, 3, 1) == [(3, 2, 1, 0), (1, 3, 0, 2), (3, 1, 2, 0)]
    assert latin_orders(4, 4, 1) == [(1, 0, 2, 3), (0, 3, 1, 2), (3, 2, 0, 1), (2, 1, 3, 0)]


@both
def test_seeds_give_other_orders(draw: Draw) -> None:
    assert len({tuple(draw(6, 6, seed)) for seed in range(20)}) == 20


def test_every_set_of_orders_is_equally_likely() -> None:
    """Two of the six orders of three: 15 sets."""
    sets = Counter(frozenset(random_orders(3, 2, seed)) for seed in range(1500))
    assert len(sets) == 15
    assert chisquare(list(sets.values())).pvalue > 0.001


@both
@pytest.mark.parametrize("n", [3, 4])
def test_every_order_is_equally_likely_in_every_place(draw: Draw, n: int) -> None:
    """In the first place and in the last of the first n, and so in the sample."""
    samples = [draw(n, n, seed) for seed in range(math.factorial(n) * 50)]
    for place in (0, n - 1):
        found = Counter(sample[place] for sample in samples)
        assert len(found) == math.factorial(n)
        assert chisquare(list(found.values())).pvalue > 0.001


def test_every_square_is_equally_likely() -> None:
    """Five of the 120 orders of five, in one of 24 squares; the first of a pair as often as its mirror."""
    squares = Counter(frozenset(latin_orders(5, 5, seed)) for seed in range(1200))
    assert len(squares) == 24
    assert chisquare(list(squares.values())).pvalue > 0.001


@pytest.mark.parametrize("n", range(2, 8))
@pytest.mark.parametrize("seed", [1, 2])
def test_latin_puts_every_number_in_every_position_equally_often(n: int, seed: int) -> None:
    for count in range(n, min(math.factorial(n), 6 * n) + 1, n):
        drawn = latin_orders(n, count, seed)
        for position in range(n):
            assert Counter(order[position] for order in drawn) == dict.fromkeys(range(n), count // n)


@pytest.mark.parametrize("n", range(2, 8))
@pytest.mark.parametrize("seed", [1, 2])
def test_latin_lets_every_number_follow_every_other_equally_often(n: int, seed: int) -> None:
    for count in range(block_size(n), min(math.factorial(n), 3 * block_size(n)) + 1, block_size(n)):
        follows = Counter(pair for order in latin_orders(n, count, seed) for pair in itertools.pairwise(order))
        assert follows == dict.fromkeys(itertools.permutations(range(n), 2), count // n)


def test_half_a_pair_is_not_balanced_for_carry_over() -> None:
    """The square of five alone: ten ordered pairs are in it twice, the other ten never."""
    follows = Counter(pair for order in latin_orders(5, 5, 1) for pair in itertools.pairwise(order))
    assert sorted(follows.values()) == [2] * 10


WILLIAMS = {
    4: [(0, 1, 3, 2), (1, 2, 0, 3), (2, 3, 1, 0), (3, 0, 2, 1)],
    3: [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0), (0, 2, 1), (1, 0, 2)],
}
"""Written out by hand."""


@pytest.mark.parametrize("n", WILLIAMS)
def test_a_square_is_that_of_williams_with_other_names(n: int) -> None:
    for seed in range(10):
        drawn = latin_orders(n, len(WILLIAMS[n]), seed)
        names = [order[0] for order in drawn[:n]]
        assert drawn == [tuple(names[i] for i in row) for row in WILLIAMS[n]]
