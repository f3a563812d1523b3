"""Values of contrasts, the numbers of tables that they are computed from, and results that are changed for a test."""

from collections.abc import Callable
from dataclasses import replace
from statistics import mean

import numpy as np

from raysim.analysis.confound_checks import ArmContrast
from raysim.analysis.contrasts import all_contrasts
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


def compared(results: RunResults, finding: str, name: str, arm: str) -> ArmContrast:
    """One contrast over its seeds, as checks for confounds receive it."""
    found = all_contrasts(results)[finding].contrasts
    group = tuple(c for c in found if (c.name, c.arm) == (name, arm))
    return ArmContrast(results, group, frozenset(c.name for c in found))


def change(results: RunResults, chosen: Callable[[ReachedModel], bool], **fields: object) -> RunResults:
    """The same results, in which the models that are chosen have these fields."""
    results.reached_models[:] = [replace(m, **fields) if chosen(m) else m for m in results.reached_models]  # type: ignore[arg-type]
    return results
