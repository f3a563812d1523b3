"""A Bloom filter beside a set, and beside the share of errors that the formula says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raysim.core.bloom import BloomFilter


def pairs(seed: int, count: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(seed))
    return generator.integers(0, 1 << 64, (count, 2), dtype=np.uint64)


@given(st.integers(0, 300), st.sampled_from([0.5, 1e-3, 1e-6]))
def test_nothing_that_was_put_in_is_forgotten(count: int, rate: float) -> None:
    members = pairs(1, count)
    assert BloomFilter.of(members, rate).holds(members).all()


def test_an_empty_one_holds_nothing() -> None:
    assert not BloomFilter.of(pairs(1, 0), 0.5).holds(pairs(2, 100)).any()
    assert BloomFilter.of(pairs(1, 9), 0.5).holds(pairs(1, 0)).shape == (0,)


@pytest.mark.parametrize(("count", "rate"), [(20_000, 1e-2), (20, 1e-2), (2_000, 1e-3), (5_000, 0.3)])
def test_as_many_others_are_taken_for_members_as_the_rate_says(count: int, rate: float) -> None:
    """Also of few members, where hashes that walk in equal steps would agree too often."""
    asked = 200_000
    wrong = [int(BloomFilter.of(pairs(seed, count), rate).holds(pairs(seed + 100, asked)).sum()) for seed in range(5)]
    assert stats.binom.cdf(sum(wrong), 5 * asked, 1.25 * rate) < 1 - 1e-9
    assert sum(wrong) > 0.5 * rate * 5 * asked


def test_it_takes_the_bits_of_the_formula() -> None:
    made = BloomFilter.of(pairs(1, 10_000), 1e-6)
    assert 8 * len(made.bits) == pytest.approx(28.755 * 10_000, rel=1e-3)
    assert made.num_hashes == 20


def test_both_halves_decide() -> None:
    """Pairs that share one half with a member are no members."""
    members = pairs(1, 1000)
    made = BloomFilter.of(members, 1e-6)
    for half in (0, 1):
        others = pairs(2, 1000)
        others[:, half] = members[:, half]
        assert not made.holds(others).any()
