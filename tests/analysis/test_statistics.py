import itertools
from math import log2

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy.stats import binomtest

from raysim.analysis.statistics import (
    exposure_by_chance,
    hochberg_levels,
    holm,
    holm_levels,
    rarefied,
    t_interval,
    wilson,
)


def test_wilson_of_a_textbook_example():
    # 81 of 263: Newcombe, Statistics in Medicine 17 (1998), table I.
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@hypothesis.given(trials=st.integers(1, 2000), part=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.99]))
@hypothesis.settings(deadline=None)
def test_wilson_is_scipys_on_whole_numbers(trials: int, part: float, confidence: float) -> None:
    hits = round(part * trials)
    low, high = binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    assert wilson(hits, trials, confidence) == pytest.approx((low, high), abs=1e-12)


def test_wilson_at_zero_has_an_upper_end():
    # 0 of 20: Newcombe, same table.
    low, high = wilson(0, 20)
    assert low == 0.0
    assert high == pytest.approx(0.1611, abs=5e-5)


def test_wilson_without_a_trial_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_t_interval_by_hand():
    # Mean 3, standard error sqrt(2.5 / 5), t(0.975, 4) = 2.7764.
    half = 2.776445 * np.sqrt(0.5)
    assert t_interval([1, 2, 3, 4, 5]) == pytest.approx((3 - half, 3 + half), rel=1e-6)


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_holm_stops_at_one():
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_levels_of_holm_by_hand():
    # 0.01 <= 0.05 / 3; 0.03 > 0.05 / 2, and there it ends.
    assert holm_levels({"a": 0.01, "b": 0.04, "c": 0.03}, 0.05) == pytest.approx(
        {"a": 0.05 / 3, "b": 0.025, "c": 0.025}
    )


def test_levels_of_hochberg_by_hand():
    assert hochberg_levels({"a": 0.04, "b": 0.05}, 0.05) == {"a": 0.05, "b": 0.05}
    # The largest is not rejected, so the next is tested at half the level, and is.
    assert hochberg_levels({"a": 0.02, "b": 0.06}, 0.05) == {"a": 0.025, "b": 0.05}
    assert hochberg_levels({"a": 0.03, "b": 0.06}, 0.05) == {"a": 0.025, "b": 0.05}


ps = st.dictionaries(st.sampled_from("abcdefg"), st.floats(0, 1), min_size=1)


@hypothesis.given(p_values=ps)
def test_a_level_rejects_what_the_adjusted_p_does(p_values: dict[str, float]) -> None:
    adjusted, levels = holm(p_values), holm_levels(p_values, 0.05)
    for name, p in p_values.items():
        if abs(adjusted[name] - 0.05) > 1e-9:
            assert (p <= levels[name]) == (adjusted[name] < 0.05)


@hypothesis.given(p_values=ps)
def test_hochberg_rejects_all_if_and_only_if_the_largest_is_small(p_values: dict[str, float]) -> None:
    levels = hochberg_levels(p_values, 0.05)
    assert all(p <= levels[name] for name, p in p_values.items()) == (max(p_values.values()) <= 0.05)


@hypothesis.given(fragments=st.lists(st.sets(st.integers(0, 5), min_size=1), max_size=4), size=st.integers(0, 6))
def test_rarefaction_is_the_mean_over_all_choices_of_samples(fragments, size):
    choices = [set(chosen) for chosen in itertools.combinations(range(6), size)]
    expected = np.mean([sum(bool(samples & chosen) for samples in fragments) for chosen in choices])
    assert rarefied([len(samples) for samples in fragments], 6, size) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("num_secrets", "candidates"), [(1, 256), (4, 256), (12, 64)])
def test_exposure_by_chance_against_drawing(num_secrets, candidates):
    """Secrets of a replicate are ranked among the same others, as canaries are: 3800 of 4000 means are below."""
    mean, bound = exposure_by_chance(num_secrets, candidates)
    assert mean == pytest.approx(sum(log2(candidates / rank) for rank in range(1, candidates + 1)) / candidates)
    rng, below, total = np.random.default_rng(9), 0, 0.0
    for _ in range(4000):
        others = np.sort(rng.random(candidates - 1))
        found = np.log2(candidates / (1 + np.searchsorted(others, rng.random(num_secrets))))
        below += found.mean() <= bound
        total += found.mean()
    assert total / 4000 == pytest.approx(mean, abs=0.1)
    assert 3760 <= below <= 3920


def test_no_exposure_is_above_the_highest_that_there_is():
    assert exposure_by_chance(1, 4) == (pytest.approx((2 + 1 + log2(4 / 3)) / 4), 2.0)
