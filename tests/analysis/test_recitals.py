"""Dose and response: the slope against statsmodels' formula by hand, shares by owner."""

from math import log2
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from raysim.analysis.recitals import responses, slope


def test_the_slope_is_that_of_least_squares_and_its_interval_that_of_hc3() -> None:
    generator = np.random.default_rng(1)
    doses = [0, 0, 0, 1, 1, 1, 4, 4, 4, 16, 16, 64, 64]
    values = [0.1 * log2(1 + dose) + generator.normal(0, 0.05 + dose / 200) for dose in doses]
    found = slope(doses, values)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    x, y = np.log2(1 + np.array(doses)), np.array(values)
    assert found.slope == pytest.approx(np.polyfit(x, y, 1)[0])
    # HC3 of one regressor: the residuals over 1 - leverage, weighted by the distance from the mean.
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    spread = ((x - x.mean()) ** 2).sum()
    leverage = 1 / len(x) + (x - x.mean()) ** 2 / spread
    error = np.sqrt((((x - x.mean()) * residuals / (1 - leverage)) ** 2).sum()) / spread
    assert (found.high - found.low) / 2 == pytest.approx(2.200985 * error, rel=1e-5)  # t with 11 degrees of freedom
    assert found.low < 0.1 < found.high


def test_its_interval_covers_what_it_says() -> None:
    """Shares are 0 or 1 with a chance that grows with the dose: spreads are unequal."""
    generator, hits = np.random.default_rng(2), 0
    doses = [0] * 12 + [1] * 24 + [4] * 6 + [16] * 6 + [64] * 6
    x = np.log2(1 + np.array(doses))
    chances = 0.02 + 0.12 * x
    for _ in range(400):
        found = slope(doses, (generator.random(len(doses)) < chances).astype(float).tolist())
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.12 <= found.high
    assert 0.91 <= hits / 400 <= 0.98


def test_few_functions_have_a_slope_without_an_interval_and_one_dose_has_none() -> None:
    few = slope([0, 1, 4], [0.0, 0.5, 1.0])
    assert few is not None
    assert few.low is None
    assert few.slope == pytest.approx(0.43, abs=0.01)
    assert slope([4, 4, 4], [0, 1, 1]) is None


def reached(model: str, seed: int, *organizations: str) -> Any:
    return SimpleNamespace(model=model, seed=seed, organizations=organizations)


def row(organization: str, function: str, lines: int) -> dict[str, Any]:
    repeats = int(function.partition("x")[0])
    return {"organization": organization, "function": function, "repeats": repeats, "recited_lines": lines} | {
        "nats": 20.0, "tokens": 10
    }  # fmt: skip


def test_shares_are_means_over_functions_of_means_over_seeds_by_owner() -> None:
    of_model = {
        "m": [row("a", "0x0", 0), row("a", "64x0", 11), row("b", "0x0", 0), row("b", "64x0", 11)],
        "n": [row("a", "0x0", 0), row("a", "64x0", 5), row("b", "0x0", 0), row("b", "64x0", 0)],
    }
    models = [reached("m", 1, "a"), reached("n", 2, "a")]
    trained = responses(models, of_model, True, 6)
    assert trained is not None
    assert {dose: (one.share, one.functions, one.nats) for dose, one in trained.shares.items()} == {
        0: (0.0, 1, 2.0), 64: (0.5, 1, 2.0)
    }  # fmt: skip
    strangers = responses(models, of_model, False, 6)
    assert strangers is not None
    assert strangers.shares[64].share == 0.5, "of b, which neither was trained on"
    assert responses([reached("m", 1, "a", "b")], of_model, False, 6) is None
