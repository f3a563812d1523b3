"""Accounts against dp-accounting itself, asked in other words, and against what is known in closed form."""

import math
from typing import Any

import dp_accounting
import numpy as np
import pytest
from dp_accounting import dp_event, pld, rdp
from scipy.optimize import brentq
from scipy.stats import norm

from raysim.simulation.privacy import (
    GaussianReleases,
    noise_multiplier_for,
    privacy_cautions,
    privacy_rows,
    spent,
)

DELTA = 1e-5


def epsilon(releases: list[GaussianReleases]) -> float:
    return spent(releases, DELTA).epsilon


@pytest.mark.parametrize(
    ("noise", "rate", "times"), [(5.0, 1.0, 50), (1.0, 0.1, 30), (0.8, 0.01, 40)], ids=["all", "tenth", "hundredth"]
)
def test_epsilon_equals_dp_accountings_of_other_events(noise: float, rate: float, times: int) -> None:
    """A unit that may take part makes a mixture of two Gaussians; and Renyi's bound of single events is never below."""
    found = epsilon([GaussianReleases(noise, times, rate)])
    tight = pld.PLDAccountant(value_discretization_interval=5e-4)
    tight.compose(dp_event.MixtureOfGaussiansDpEvent(noise, [0.0, 1.0], [1 - rate, rate]), times)
    assert found == pytest.approx(tight.get_epsilon(DELTA), rel=2e-3)
    one: Any = dp_accounting.GaussianDpEvent(noise)
    if rate < 1:
        one = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.ComposedDpEvent([one]))
    loose = rdp.RdpAccountant([2, 3, 4, 5, 6, 8, 12, 16, 24, 32])
    loose.compose(dp_accounting.ComposedDpEvent([one] * times))
    assert found < loose.get_epsilon(DELTA)


def test_releases_to_all_are_one_release_of_less_noise() -> None:
    """Balle & Wang, arXiv 1805.06083, theorem 8, says how much one costs exactly."""

    def delta_of(eps: float, mu: float) -> float:
        return float(norm.cdf(mu / 2 - eps / mu) - math.exp(eps) * norm.cdf(-mu / 2 - eps / mu))

    mu = math.sqrt(50) / 5
    exact: Any = brentq(lambda eps: delta_of(eps, mu) - DELTA, 0.1, 50)
    assert epsilon([GaussianReleases(5.0, 50)]) == pytest.approx(exact, rel=1e-3)
    parts = [GaussianReleases(5.0, 20), GaussianReleases(5.0, 30)]
    assert epsilon(parts) == epsilon([GaussianReleases(5.0, 50)])


def test_no_release_costs_nothing_and_no_noise_everything() -> None:
    assert epsilon([]) == epsilon([GaussianReleases(1.0, 0)]) == 0.0
    assert epsilon([GaussianReleases(0.0, 1), GaussianReleases(9.0, 1)]) == math.inf
    hardly_any = spent([GaussianReleases(0.01, 5)], DELTA)
    assert (hardly_any.epsilon > 1000, hardly_any.accountant) == (True, "RDP")
    both = epsilon([GaussianReleases(2.0, 3), GaussianReleases(3.0, 2)])
    assert both == pytest.approx(epsilon([GaussianReleases((3 / 2**2 + 2 / 3**2) ** -0.5, 1)]), rel=1e-3)


@pytest.mark.parametrize(("times", "rate"), [(10, 1.0), (20, 0.05)])
def test_the_noise_multiplier_is_the_smallest_that_keeps_the_target(times: int, rate: float) -> None:
    noise = noise_multiplier_for(8, DELTA, times, rate)
    assert noise == round(noise, 4)
    assert epsilon([GaussianReleases(noise, times, rate)]) <= 8
    assert epsilon([GaussianReleases(noise - 2e-4, times, rate)]) > 8


def test_rows_say_what_was_spent_by_round(make_context, strategy_runs_of) -> None:
    context = make_context({"a": 3, "b": 4})
    runs = strategy_runs_of(context, ["fedavg", {"dp_fedavg": {"rounds": 3, "noise_multiplier": 2.0}}])
    rows = list(privacy_rows(runs))
    assert [(row["strategy"], row["round"], row["unit"]) for row in rows] == [
        ("dp_fedavg", number, "organization") for number in (1, 2, 3)
    ]
    assert np.diff([row["epsilon"] for row in rows]).min() > 0
    assert rows[-1]["epsilon"] == pytest.approx(epsilon([GaussianReleases(2.0, 3)]))
    (silent, *_) = privacy_rows(strategy_runs_of(context, [{"dp_fedavg": {"noise_multiplier": 0.0}}]))
    assert silent["epsilon"] is None


def test_three_organizations_at_epsilon_eight_are_told_that_they_cannot_learn(make_context, strategy_runs_of) -> None:
    few = strategy_runs_of(make_context(dict.fromkeys("abc", 4)), [{"dp_fedavg": {"target_epsilon": 8}}])
    (caution,) = privacy_cautions(few, 1_000_000)
    # Ten rounds at epsilon 8 take a noise multiplier of about 2, which sqrt(10^6) / 3 makes 700 times the clip.
    loud = float(caution.split("has ")[1].split(" times")[0])
    assert 500 < loud < 800
    many = strategy_runs_of(make_context({f"o{i}": 1 for i in range(500)}), [{"dp_fedavg": {"target_epsilon": 8}}])
    assert privacy_cautions(many, 100_000) == []
