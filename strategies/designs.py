"""Designs of orders: which of the n! orders to train when all are too many. Orders here are of the numbers 0 to n - 1.

Both are drawn one after the other without replacement, so that a larger sample begins with a smaller one of its seed,
and finds the stages of that one in the store.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from raysim.core.keys import seed_of

Order = tuple[int, ...]
T = TypeVar("T")


def random_orders(n: int, count: int, seed: int) -> list[Order]:
    """`count` distinct orders, every set of as many equally likely; `count` is at most n!."""
    rng = _generator("random", n, seed)
    return _distinct(count, lambda: _shuffled(rng, range(n)), lambda order: order)


def latin_orders(n: int, count: int, seed: int) -> list[Order]:
    """Distinct orders in whole squares, in each of which every number is once in every position.

    Williams (Experimental designs balanced for the estimation of residual effects of treatments, Australian Journal of
    Scientific Research A 2, 1949): row i is 0, 1, n-1, 2, n-2, ... with i added to each, modulo n. For an even n every
    number directly follows every other once in a square. For an odd n it does so twice in a square and its mirror, so
    squares come in such pairs. The numbers of each square or pair are relabelled by a seeded permutation.

    Args:
        n: of numbers.
        count: orders, a multiple of n and at most n!. For an odd n, carry-over is balanced for multiples of 2 n alone.
        seed: of the relabellings.
    """
    rng = _generator("latin", n, seed)
    rows = [tuple((step + i) % n for step in _zigzag(n)) for i in range(n)]
    if n % 2:
        rows += [row[::-1] for row in rows]
    # Relabelled rows are a coset of the rotations (of the rotations and reflections if n is odd), so two relabellings
    # give the same rows or have none in common.
    blocks = _distinct(-(-count // len(rows)), lambda: _shuffled(rng, range(n)), _coset)
    return [tuple(names[number] for number in row) for names in blocks for row in rows][:count]


def _zigzag(n: int) -> Iterator[int]:
    """0, 1, n-1, 2, n-2, ...: neighbours differ by 1, -2, 3, -4, ... modulo n."""
    return ((position + 1) // 2 if position % 2 else (n - position // 2) % n for position in range(n))


def _coset(names: Order) -> Order:
    """Equal for relabellings of equal rows: turned to begin with 0 and, for an odd n, the lesser of both ways round."""
    start = names.index(0)
    turned = names[start:] + names[:start]
    return min(turned, turned[:1] + turned[:0:-1]) if len(names) % 2 else turned


def _distinct(count: int, draw: Callable[[], T], identity: Callable[[T], T]) -> list[T]:
    """The first `count` draws that are new; there must be as many."""
    found: dict[T, T] = {}
    while len(found) < count:
        drawn = draw()
        found.setdefault(identity(drawn), drawn)
    return list(found.values())


def _shuffled(rng: np.random.Generator, numbers: range) -> Order:
    return tuple(rng.permutation(numbers).tolist())


def _generator(design: str, n: int, seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed_of("orders", design, n, seed)))
