"""Areas and their intervals against pair counts and published formulas."""

import itertools
from math import sqrt
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import t, ttest_ind

from raysim.analysis.auc import area, interval, true_positives_at

ITEMS = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 2)), min_size=1, max_size=25)


def columns(items):
    scores, positive, strata = zip(*items, strict=True)
    return np.array(scores, np.float64), np.array(positive), list(strata)


@given(ITEMS)
def test_it_is_the_share_of_pairs_won(items):
    scores, positive, strata = columns(items)
    pairs = [
        (a > b) + (a == b) / 2 for (a, p, s), (b, q, t) in itertools.product(items, repeat=2) if p and not q and s == t
    ]
    found = area(scores, positive, strata)
    assert (found is None) == (not pairs)
    if found:
        assert found.value == pytest.approx(sum(pairs) / len(pairs))
        assert [found.influence[positive].sum(), found.influence[~positive].sum()] == pytest.approx([0, 0], abs=1e-12)


def test_by_hand():
    """Positives 3 and 1, negatives 2, 1 and 0: won are 3 + 1.5 of six pairs."""
    found = area(np.array([3.0, 1.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False, False]))
    assert found is not None
    assert found.value == 0.75


def test_the_interval_is_delongs_and_welchs():
    """Sample variances of the two kinds of structural components, over their numbers (DeLong et al. 1988).

    SciPy's test by Welch of two samples with these variances has these degrees of freedom.
    """
    rng = np.random.default_rng(4)
    positive = np.arange(50) < 20
    scores = rng.normal(positive * 0.7, 1)
    found = area(scores, positive)
    assert found is not None
    above, below = scores[positive], scores[~positive]
    v10 = [float(np.mean([(a > b) + (a == b) / 2 for b in below])) for a in above]
    v01 = [float(np.mean([(a > b) + (a == b) / 2 for a in above])) for b in below]
    error = sqrt(np.var(v10, ddof=1) / len(v10) + np.var(v01, ddof=1) / len(v01))
    welch: Any = ttest_ind(v10, v01, equal_var=False)  # typed as a tuple
    quantile = t.ppf(0.975, welch.df)
    assert 1.96 < quantile < 2.1
    expected = found.value - quantile * error, found.value + quantile * error
    assert interval(found.value, found.influence, positive, list(range(50))) == pytest.approx(expected)


def test_the_interval_takes_clusters_whole():
    """Every item ten times over in its cluster: as many clusters, and the same interval."""
    rng = np.random.default_rng(5)
    positive = np.arange(30) < 12
    scores = rng.normal(positive * 1.0, 1)
    one, ten = area(scores, positive), area(np.repeat(scores, 10), np.repeat(positive, 10))
    assert one is not None
    assert ten is not None
    wide = interval(one.value, one.influence, positive, list(range(30)))
    assert interval(ten.value, ten.influence, np.repeat(positive, 10), list(np.repeat(range(30), 10))) == pytest.approx(
        wide
    )
    apart = interval(ten.value, ten.influence, np.repeat(positive, 10), list(range(300)))
    assert apart is not None
    assert wide is not None
    assert apart[1] - apart[0] < (wide[1] - wide[0]) / 3


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Two clusters of normal scores 1 apart: the true area is Phi(1 / sqrt 2) = 0.7602. Of 300 intervals about 285."""
    rng, hits = np.random.default_rng(6), 0
    positive = np.arange(80) < 40
    for _ in range(300):
        found = area(rng.normal(positive * 1.0, 1), positive)
        assert found is not None
        low_high = interval(found.value, found.influence, positive, list(range(80)))
        assert low_high is not None
        hits += low_high[0] <= 0.76025 <= low_high[1]
    assert 273 <= hits <= 296


def test_the_interval_holds_the_truth_with_few_clusters_too():
    """Three files of either class, eight chunks each, alike within: a normal interval holds it 347 times of 400."""
    rng, hits = np.random.default_rng(7), 0
    file = np.repeat(np.arange(6), 8)
    for _ in range(400):
        found = area(rng.normal(size=6)[file] + rng.normal(size=48), file < 3)
        assert found is not None
        low_high = interval(found.value, found.influence, file < 3, list(file))
        hits += low_high is None or low_high[0] <= 0.5 <= low_high[1]
    assert 365 <= hits <= 395


@pytest.mark.parametrize("clusters", [[0, 1, 2, 3], [0, 0, 2, 3]])
def test_no_interval_of_what_does_not_vary_or_of_one_cluster(clusters):
    positive = np.array([True, True, False, False])
    scores = np.array([3.0, 2.0, 1.0, 0.0]) if clusters[1] else np.array([3.0, 1.0, 2.0, 0.0])
    found = area(scores, positive)
    assert found is not None
    assert interval(found.value, found.influence, positive, clusters) is None


@given(ITEMS, st.sampled_from([0.01, 0.3, 0.5]))
def test_true_positives_against_every_threshold(items, rate):
    scores, positive, _ = columns(items)
    shares = [0.0]
    for threshold in [-1.0, *scores]:
        taken = scores > threshold
        if (taken & ~positive).sum() <= rate * (~positive).sum() and positive.any():
            shares.append(float((taken & positive).sum() / positive.sum()))
    assert true_positives_at(scores, positive, rate) == pytest.approx(max(shares))


def test_true_positives_of_strata_have_thresholds_of_their_own():
    scores = np.array([5.0, 4.0, 1.0, 0.0])
    positive = np.array([True, False, True, False])
    assert true_positives_at(scores, positive, 0.01) == 0.5
    assert true_positives_at(scores, positive, 0.01, [0, 0, 1, 1]) == 1.0


def test_strata_do_not_make_those_fewer_that_may_be_taken():
    """One of 100 negatives may be, whether they stand in one stratum or in two; in two, it is one of the second."""
    scores = np.concatenate([[1.5, 1.5], [2.0], np.zeros(49), [2.0], np.zeros(49)])
    positive = np.arange(102) < 2
    assert true_positives_at(scores, positive, 0.02) == 1.0
    assert true_positives_at(scores, positive, 0.01) == 0.0
    assert true_positives_at(scores, positive, 0.01, [0, 1, *[0] * 50, *[1] * 50]) == 0.5
    assert true_positives_at(scores[:-1], positive[:-1], 0.01, [0, 1, *[0] * 50, *[1] * 49]) == 0.0
    # Two of 100: one of the first stratum, and one, not two, of the second.
    scores[2:4] = 0.0
    scores[52:54] = 2.0
    assert true_positives_at(scores, positive, 0.02, [0, 1, *[0] * 50, *[1] * 50]) == 0.5


def test_clusters_of_both_classes_are_obuchowskis():
    """Her formula, written out: variances of the sums over clusters of both components, and twice their covariance."""
    rng = np.random.default_rng(8)
    clusters = np.repeat(np.arange(12), 5)
    positive = rng.random(60) < 0.4
    scores = rng.normal(positive * 0.8, 1) + rng.normal(0, 1, 12)[clusters]
    found = area(scores, positive)
    assert found is not None
    above, below = scores[positive], scores[~positive]
    num_above, num_below = len(above), len(below)
    v10 = np.array([np.mean([(a > b) + (a == b) / 2 for b in below]) for a in above]) - found.value
    v01 = np.array([np.mean([(a > b) + (a == b) / 2 for a in above]) for b in below]) - found.value
    sums = np.array([[v10[clusters[positive] == c].sum(), v01[clusters[~positive] == c].sum()] for c in range(12)])
    holds = [len(set(clusters[positive])), len(set(clusters[~positive]))]
    s10 = holds[0] / (holds[0] - 1) / num_above * (sums[:, 0] ** 2).sum()
    s01 = holds[1] / (holds[1] - 1) / num_below * (sums[:, 1] ** 2).sum()
    s11 = 12 / 11 * (sums[:, 0] * sums[:, 1]).sum()
    error = sqrt(s10 / num_above + s01 / num_below + 2 * s11 / num_above / num_below)
    parts = s10 / num_above, s01 / num_below
    degrees = sum(parts) ** 2 / sum(part**2 / (held - 1) for part, held in zip(parts, holds, strict=True))
    half = float(t.ppf(0.975, degrees)) * error
    expected = found.value - half, found.value + half
    assert interval(found.value, found.influence, positive, clusters.tolist()) == pytest.approx(expected)


def test_the_interval_of_mixed_clusters_holds_the_truth_as_often_as_it_says():
    """A shift that a whole cluster shares cancels within it: without the covariance the intervals are too wide."""
    rng, hits, widths = np.random.default_rng(9), 0, []
    clusters, positive = np.repeat(np.arange(40), 4), np.tile([True, True, False, False], 40)
    for _ in range(300):
        found = area(rng.normal(positive * 1.0, 1) + rng.normal(0, 1, 40)[clusters], positive)
        assert found is not None
        low_high = interval(found.value, found.influence, positive, clusters.tolist())
        assert low_high is not None
        hits += low_high[0] <= 0.69146 <= low_high[1]
        widths.append(low_high[1] - low_high[0])
    assert 270 <= hits <= 296
