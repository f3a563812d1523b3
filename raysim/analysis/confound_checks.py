"""A check for a confound: what it is given, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysim.analysis.arrays import Mask
from raysim.analysis.budgets import Budget, mean_budget
from raysim.analysis.paired import Contrast
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults


@dataclass(frozen=True)
class Check:
    """One confound that was looked for.

    Attributes:
        about: a noun phrase for it.
        found: what the tables show of it, in a clause; '' where it does not apply.
        known: whether the tables tell.
    """

    about: str
    found: str = ""
    known: bool = True


@dataclass(frozen=True)
class ArmContrast:
    """One contrast in one arm, over its seeds.

    Attributes:
        contrasts: one a seed; at least one.
        measured: names of all contrasts of the finding that were taken.
    """

    results: RunResults
    contrasts: tuple[Contrast, ...]
    measured: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.contrasts[0].name

    @property
    def ours(self) -> list[ReachedModel]:
        """Models of the first side, over seeds."""
        return self._side(0)

    @property
    def theirs(self) -> list[ReachedModel]:
        """Models of the second side; empty where there is none."""
        return self._side(1)

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(np.mean([c.statistic(np.ones((1, len(c.statistic.in_play))))[0] for c in self.contrasts]))

    @property
    def in_play(self) -> Mask:
        """bool ``[items]``: prompts or files that enter under any seed."""
        return np.any([contrast.statistic.in_play for contrast in self.contrasts], axis=0)

    @property
    def budgets(self) -> tuple[Budget, Budget] | None:
        """What both sides have spent on average; None where there is one side alone."""
        if not self.ours or not self.theirs:
            return None
        loss = self.results.training_loss
        return mean_budget("", self.ours, loss), mean_budget("", self.theirs, loss)

    def _side(self, number: int) -> list[ReachedModel]:
        sides: Sequence[tuple[ReachedModel, ...]] = [c.sides[number] for c in self.contrasts if len(c.sides) > number]
        return [m for side in sides for m in side]
