"""Paired statistics whose items - prompts or validation files - stay apart, so that a bootstrap can redraw them."""

from dataclasses import dataclass, field

import numpy as np

from raysim.analysis.statistics import Floats

Weights = Floats
"""float64 ``[replicates, items]``: how often each item counts."""


@dataclass(frozen=True)
class Ratio:
    """Sum of numerators over sum of denominators; both float64 ``[items]``. Those with denominator 0 are out."""

    numerators: Floats
    denominators: Floats

    @property
    def in_play(self) -> list[bool]:
        return (self.denominators > 0).tolist()

    def __call__(self, weights: Weights) -> Floats:
        below = weights @ self.denominators
        return np.divide(weights @ self.numerators, below, out=np.full(len(below), np.nan), where=below > 0)


@dataclass(frozen=True)
class RiskDifference:
    """Difference of two shares within strata, pooled with the weights of Mantel and Haenszel.

    Attributes:
        outcomes: float64 ``[items]`` in [0, 1].
        exposed, used: bool ``[items]``.
        strata: name of the stratum of each item.
    """

    outcomes: Floats
    exposed: list[bool]
    used: list[bool]
    strata: list[str]

    @property
    def in_play(self) -> list[bool]:
        return self.used

    def __call__(self, weights: Weights) -> Floats:
        above, below = np.zeros(len(weights)), np.zeros(len(weights))
        exposed, used, strata = np.array(self.exposed), np.array(self.used), np.array(self.strata)
        for stratum in sorted(set(self.strata)):
            one, other = used & exposed & (strata == stratum), used & ~exposed & (strata == stratum)
            n_one, n_other = weights[:, one].sum(1), weights[:, other].sum(1)
            both = (n_one > 0) & (n_other > 0)
            safe_one, safe_other = np.where(both, n_one, 1), np.where(both, n_other, 1)
            share_one = weights[:, one] @ self.outcomes[one] / safe_one
            share_other = weights[:, other] @ self.outcomes[other] / safe_other
            weight = np.where(both, n_one * n_other / (safe_one + safe_other), 0.0)
            above, below = above + weight * (share_one - share_other), below + weight
        return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)


@dataclass(frozen=True)
class Contrast:
    """One contrast under one seed, before its numbers are taken.

    Attributes:
        axis: 'prompts' or 'files': what the items of `statistic` are.
        statistic: from weights ``[replicates, items]`` to values ``[replicates]``; all ones give the value itself.
    """

    finding: str
    name: str
    seed: int
    unit: str
    axis: str
    statistic: Ratio | RiskDifference
    note: str = ""


@dataclass
class Found:
    """The contrasts of one finding, and what is missing for its primary one."""

    contrasts: list[Contrast] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
