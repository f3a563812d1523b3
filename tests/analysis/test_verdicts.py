import numpy as np
import pytest

from raysim.analysis.crossed import Spread
from raysim.analysis.estimates import Estimate
from raysim.analysis.verdicts import Direction, claim, reach_verdicts

MARGINS = {"F3": 0.1, "F2": 0.05, "F4": 0.1, "F7": 0.05}
DIRECTIONS: dict[str, Direction] = {"F3": "down", "F2": "not worse", "F4": "up", "F7": "up"}


def estimate(name, mean, error, arm="", seeds=5, refused=""):
    spread = Spread(mean, 0.5 * error**2 * (seeds >= 5), (0.5 if seeds >= 5 else 1.0) * error**2, 0.0, seeds, 40)
    return Estimate(
        name,
        "x",
        arm,
        "u",
        "",
        "",
        tuple(range(seeds)),
        (mean,) * seeds,
        (9,) * seeds,
        (spread,) * seeds,
        spread,
        refused,
    )


def reach(**means):
    found = {
        name: [estimate(name, *one) for one in (arms if isinstance(arms, list) else [arms])]
        for name, arms in means.items()
    }
    return reach_verdicts(found, DIRECTIONS, MARGINS)


def verdict(name, *args):
    return reach(**{name: args})[name].verdict


@pytest.mark.parametrize(
    ("name", "mean", "error", "expected"),
    [
        ("F4", 1.0, 0.1, "supported"),
        ("F4", -1.0, 0.1, "contradicted"),
        ("F4", 1.0, 1.0, "inconclusive"),
        ("F3", -1.0, 0.1, "supported"),
        ("F3", 1.0, 0.1, "contradicted"),
        # Significant, and of no interest.
        ("F4", 0.05, 0.01, "no effect beyond the margin"),
        ("F4", 0.05, 0.04, "inconclusive"),
        ("F4", 0.0, 0.01, "no effect beyond the margin"),
        # Beyond the margin by its estimate, whose interval reaches into it.
        ("F4", 0.11, 0.01, "supported"),
    ],
)
def test_the_rules_of_a_direction(name, mean, error, expected):
    assert verdict(name, mean, error) == expected


@pytest.mark.parametrize(
    ("mean", "error", "expected"),
    [
        (0.0, 0.01, "supported"),
        (-1.3, 0.1, "supported"),  # A3: better by far was "contradicted"
        (0.2, 0.01, "contradicted"),
        (0.04, 0.02, "inconclusive"),
        (0.06, 0.02, "inconclusive"),
    ],
)
def test_close_is_not_worse_by_the_margin(mean, error, expected):
    assert verdict("F2", mean, error) == expected


def test_arms_that_differ_make_no_finding():
    """A3: the mean of FedAvg at -0.6 and FedYogi at +0.6 was "supported"."""
    found = reach(F2=[(-0.6, 0.01, "fedavg"), (0.6, 0.01, "fedyogi")])["F2"]
    assert found.verdict == "inconclusive"
    assert [arm.verdict for arm in found.arms] == ["supported", "contradicted"]


def test_a_finding_holds_if_it_does_in_every_arm():
    found = reach(F3=[(-1.0, 0.1, "fedavg"), (-0.3, 0.1, "fedyogi")])["F3"]
    assert found.verdict == "supported"
    assert found.shown.estimate.arm == "fedyogi"
    assert found.p == pytest.approx(2 * estimate("F3", -0.3, 0.1).spread.p_below(0.0))
    assert reach(F3=[(-1.0, 0.1, "fedavg"), (-0.3, 0.5, "fedyogi")])["F3"].verdict == "inconclusive"


def test_each_finding_enters_once_with_its_largest_p():
    alone = reach(F4=(1.0, 0.35))["F4"].p
    beside = reach(F4=(1.0, 0.35), F3=[(-1.0, 0.01, "a"), (-1.0, 0.5, "b")])
    assert beside["F4"].p == pytest.approx(2 * (alone or 0))
    assert beside["F3"].p == pytest.approx(max(beside["F4"].p or 0, beside["F3"].arms[1].claim.p))


def test_the_adjusted_interval_says_what_the_verdict_does():
    rng = np.random.default_rng(0)
    for _ in range(200):
        found = reach(**{name: (rng.normal(0, 0.2), rng.uniform(0.01, 0.2)) for name in MARGINS})
        for name, one in found.items():
            (arm,) = one.arms
            low, high = arm.estimate.interval(1 - arm.level)
            margin, sign = MARGINS[name], 1 if DIRECTIONS[name] == "up" else -1
            mean = arm.estimate.mean
            if name == "F2":
                expected = "supported" if high < margin else "contradicted" if low > margin else "inconclusive"
            elif -margin < low and high < margin:
                expected = "no effect beyond the margin"
            elif (low > 0 or high < 0) and abs(mean) > margin:
                expected = "supported" if sign * mean > 0 else "contradicted"
            else:
                expected = "inconclusive"
            assert one.verdict == expected


@pytest.mark.parametrize(
    ("mean", "error", "expected"),
    [
        (1.0, 0.1, "indicated (1 seed)"),
        # A7: +5 lines against were "inconclusive", and a direction needed no margin.
        (-5.0, 0.5, "indicated against (1 seed)"),
        (0.05, 0.01, "indicated: no effect beyond the margin (1 seed)"),
        (0.05, 0.04, "inconclusive"),
        (1.0, 1.0, "inconclusive"),
    ],
)
def test_one_seed_is_judged_by_the_same_margin_in_both_directions(mean, error, expected):
    assert verdict("F4", mean, error, "", 1) == expected


def test_four_seeds_indicate_at_best():
    found = reach(F4=(1.0, 0.1, "", 4))["F4"]
    assert (found.verdict, found.p) == ("indicated (4 seeds)", None)


def test_a_refused_interval_claims_nothing():
    one = estimate("F4", 1.0, 0.01, refused="too few files: 3 of 30 differ, 10 are needed")
    assert claim("up", 0.1, one).p == 1.0
    assert reach_verdicts({"F4": [one]}, DIRECTIONS, MARGINS)["F4"].verdict == "inconclusive"


def test_more_findings_make_each_harder():
    alone = reach(F4=(0.3, 0.13))["F4"]
    among = reach(F4=(0.3, 0.13), F3=(-0.3, 0.13), F7=(0.3, 0.13))["F4"]
    assert alone.verdict == "supported"
    assert among.verdict == "inconclusive"
    assert (among.p or 0) > (alone.p or 0)
