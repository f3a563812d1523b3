"""What verdicts are worth: simulated studies with known effects, prompts of unequal memorability, five seeds.

docs/methods.md has the figures of the long form.
"""

import numpy as np
import pytest
from simulated_studies import tally

from raysim.analysis.findings import FINDINGS

NAMES = [finding.name for finding in FINDINGS]


def all_at(effect: float) -> dict[str, float]:
    return dict.fromkeys(NAMES, effect)


HALF = {name: 4.0 * (i % 2) for i, name in enumerate(NAMES)}
"""Every second finding has an effect of four margins, the others have none."""


@pytest.fixture(scope="module")
def small():
    return tally(60, all_at(0.0), rivals=True)


def test_intervals_cover_what_they_say(small):
    assert np.mean(np.concatenate(list(small.covered.values()))) >= 0.93


def test_other_methods_would_fail_that(small):
    """A1: Student over seeds alone, and percentiles over the files of a small run."""
    assert np.mean(small.by_seeds) < 0.7
    assert np.mean(small.by_percentiles) < 0.9


def test_intervals_are_not_much_wider_than_an_oracles(small):
    assert np.mean(np.concatenate(list(small.widths.values()))) <= 1.25


def test_few_files_that_differ_are_refused(small):
    assert not any(small.refused["F2"])
    assert 0.05 < np.mean(small.refused["F3"]) < 0.5


def test_without_effects_hardly_a_verdict_is_false(small):
    assert np.mean(small.false) <= 0.1


def test_an_effect_of_the_margin_is_no_absence_of_one():
    quiet = tally(60, all_at(1.0), noise=0.1)
    assert np.mean(quiet.false) <= 0.1
    none = tally(20, all_at(0.0), noise=0.1)
    told = [verdict for name in ("F1", "F4", "F7") for verdict in none.verdicts[name]]
    assert np.mean([verdict == "no effect beyond the margin" for verdict in told]) > 0.6
    assert np.mean([verdict == "supported" for verdict in none.verdicts["F2"]]) > 0.9


@pytest.mark.stress
@pytest.mark.parametrize(
    ("effects", "noise"),
    [(all_at(0.0), 1.0), (all_at(1.0), 1.0), (HALF, 1.0), (all_at(4.0), 1.0), (all_at(0.0), 0.1), (all_at(1.0), 0.1)],
    ids=["no effect", "the margin", "half of them", "four margins", "no effect, quiet", "the margin, quiet"],
)
def test_a_thousand_studies(effects, noise):
    found = tally(1000, effects, noise)
    print(f"\nfalse verdicts {np.mean(found.false):.3f}")
    for name in NAMES:
        counts = {v: round(found.verdicts[name].count(v) / 1000, 3) for v in sorted(set(found.verdicts[name]))}
        print(
            f"{name}: covered {np.mean(found.covered[name]):.3f}, width {np.mean(found.widths[name]):.2f},"
            f" refused {np.mean(found.refused[name]):.3f}, {counts}"
        )
    assert all(np.mean(found.covered[name]) >= 0.93 for name in NAMES)
    assert all(np.mean(found.widths[name]) <= 1.25 for name in NAMES)
    # 5 %, and what 1,000 studies leave open.
    assert np.mean(found.false) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000)
