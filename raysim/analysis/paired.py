"""Paired statistics whose items - prompts or validation files - stay apart, so that some can be left out."""

from dataclasses import dataclass, field

import numpy as np

from raysim.analysis.arrays import Mask
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.statistics import Floats

Weights = Floats
"""float64 ``[replicates, items]``: how often each item counts."""


@dataclass(frozen=True)
class Ratio:
    """Sum of numerators over sum of denominators; both float64 ``[items]``. Those with denominator 0 are out."""

    numerators: Floats
    denominators: Floats

    @property
    def in_play(self) -> Mask:
        return self.denominators > 0

    @property
    def telling(self) -> dict[str, Mask]:
        """Groups of items, by what they do, of which an interval needs several clusters."""
        return {"differ": self.in_play & (self.numerators != 0)}

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
        groups: what exposed items are called, and the others.
    """

    outcomes: Floats
    exposed: Mask
    used: Mask
    strata: list[str]
    groups: tuple[str, str] = ("exposed", "other")

    @property
    def in_play(self) -> Mask:
        return self.used

    @property
    def telling(self) -> dict[str, Mask]:
        """As of `Ratio`: where few items have the event, or few lack it, the shares are too skewed for an interval."""
        return {
            f"hold {self.groups[0]} items": self.used & self.exposed,
            f"hold {self.groups[1]} items": self.used & ~self.exposed,
            "have the event": self.used & (self.outcomes > 0),
            "lack it": self.used & (self.outcomes < 1),
        }

    def __call__(self, weights: Weights) -> Floats:
        above, below = np.zeros(len(weights)), np.zeros(len(weights))
        strata = np.array(self.strata)
        for stratum in sorted(set(self.strata)):
            one = self.used & self.exposed & (strata == stratum)
            other = self.used & ~self.exposed & (strata == stratum)
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
        arm: label of the setting that it is about, and of its counterpart where there are several; '' without one.
        models: which entered, for people.
        sides: the same models, a side after the other; one side where models are compared with themselves.
    """

    finding: str
    name: str
    seed: int
    unit: str
    axis: str
    statistic: Ratio | RiskDifference
    note: str = ""
    arm: str = ""
    models: str = ""
    sides: tuple[tuple[ReachedModel, ...], ...] = ()


@dataclass
class Found:
    """The contrasts of one finding, and why some are not there.

    Attributes:
        contrasts: one a name, arm and seed.
        missing: lines of the experiment that add what a primary contrast lacks.
        incomparable: arms that cannot be compared at all, with what would make it possible.
    """

    contrasts: list[Contrast] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    incomparable: dict[str, str] = field(default_factory=dict)

    def lack(self, line: str) -> None:
        """Notes a line that adds what is missing, once."""
        if line not in self.missing:
            self.missing.append(line)
