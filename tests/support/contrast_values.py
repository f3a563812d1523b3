"""Values of contrasts, and the numbers of a run's tables that they are to be computed from."""

from statistics import mean

import numpy as np

from raysim.analysis.paired import Contrast, Found
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults


def one(found: Found, name: str, arm: str) -> Contrast:
    """The first contrast of this name and arm."""
    return next(c for c in found.contrasts if (c.name, c.arm) == (name, arm))


def value(found: Found, name: str, arm: str) -> float:
    statistic = one(found, name, arm).statistic
    return float(statistic(np.ones((1, len(statistic.in_play))))[0])


def arms(found: Found, name: str) -> list[str]:
    """The arms of a contrast."""
    return sorted({c.arm for c in found.contrasts if c.name == name})


def final(results: RunResults, strategy: str, **also: object) -> list[ReachedModel]:
    return [
        m
        for m in finals(results.reached_models)
        if m.strategy == strategy and all(getattr(m, name) == wanted for name, wanted in also.items())
    ]


def measured_mean(
    results: RunResults, models: list[ReachedModel], measure: tuple[str, str] = ("exclusive", "")
) -> float:
    return mean(results.measures(m.model)[measure] for m in models)
