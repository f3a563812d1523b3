"""Early stop: rounds end when the validation loss of their models has not improved for a while.

Goodfellow, Bengio & Courville: Deep Learning, MIT Press 2016, algorithm 7.1: training ends after `patience` validations
in a row that are no better than the best before them. What is decided is a function of losses, and these are keyed work
of models, so that a run that is resumed decides alike; models and their keys are those of the same rounds without it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, Protocol, runtime_checkable

from pydantic import Field

from raysim.core.keys import Key
from raysim.core.settings import Settings
from raysim.simulation.loop import StrategyRun
from raysim.simulation.strategy import ModelCheckpoint
from raysim.simulation.strategy_actor import RoundPlan
from raysim.store.entries import Entry
from raysim.tasks.task import Task, TaskOutput

ValidationTasks = Callable[[StrategyRun, Key], Sequence[Task[TaskOutput]]]
"""The work of validating a model, a task an organization that takes part in the strategy run; each gives a table
``losses`` with ``nats`` and ``tokens``."""

KnownLoss = Callable[[StrategyRun, Key], float | None]
"""The validation loss of a model, as far as it is known already."""

NOT_ACCOUNTED = "neither these losses nor the choice that they make are accounted for in epsilon"
"""What must be said of validation losses beside a guarantee of differential privacy."""


class EarlyStopSettings(Settings):
    """When rounds end before their number: by the loss on the validation files of all organizations that take part."""

    patience: int = Field(
        default=3, ge=1, description="validations in a row without an improvement after which the rounds end"
    )
    every: int = Field(default=1, ge=1, description="rounds from one validation to the next")
    min_delta: float = Field(
        default=0.0, ge=0, description="nats a token by which a loss must be below the best one to be an improvement"
    )
    keep: Literal["last", "best"] = Field(
        default="last",
        description="the model that the setting ends with: of the last round that was trained, or of the round with the"
        " last improvement, also where no round is left out",
    )

    def first_end(self) -> int:
        """The first round that may be the last: the first validation is always an improvement."""
        return (self.patience + 1) * self.every

    def check(self, rounds: int) -> None:
        """Refuses what has no effect in so many rounds.

        Raises:
            ValueError: no validation that matters comes before the last round.
        """
        if self.every >= rounds:
            raise ValueError(f"early_stop.every: {self.every} of {rounds} rounds validates nothing before their end")
        if self.keep == "last" and self.first_end() >= rounds:
            raise ValueError(
                f"early_stop: can end after round {self.first_end()} at the earliest (patience {self.patience}, every"
                f" {self.every}), and there are {rounds} rounds; lower them, raise rounds, or leave it out"
            )


@dataclass(frozen=True)
class Validation:
    """The validation of one round's model.

    Attributes:
        round: from 1.
        model: its key.
        loss: of the validation files of all organizations that take part, in nats a token.
        improved: whether it is the best so far, by more than `EarlyStopSettings.min_delta`.
    """

    round: int
    model: Key
    loss: float
    improved: bool


class EarlyStop:
    """Decides for one strategy run.

    Args:
        settings: of the strategy.
        rounds: that there are at most.

    Attributes:
        validations: so far.
        last: the last round, once that is known.
    """

    def __init__(self, settings: EarlyStopSettings, rounds: int) -> None:
        self.settings = settings
        self.rounds = rounds
        self.validations: list[Validation] = []
        self.last: int | None = None

    def due(self, number: int) -> bool:
        """Whether the model of round `number` is validated: every so many, and the last one."""
        return number % self.settings.every == 0 or number == self.rounds

    @property
    def best(self) -> Validation | None:
        """The last improvement."""
        return next((one for one in reversed(self.validations) if one.improved), None)

    def after(self, planned: RoundPlan, loss: float) -> RoundPlan:
        """What comes after a round whose model has this validation loss: as planned, or nothing."""
        model, number = planned.control["model"], planned.control["round"]
        best = self.best.loss if self.best else inf
        self.validations.append(Validation(number, model, loss, loss < best - self.settings.min_delta))
        if self._stale() >= self.settings.patience or (planned.over and not planned.ends):
            return self._ended(planned)
        return planned

    @property
    def kept(self) -> Validation | None:
        """The round whose model the setting ends with, as far as that may be one of those so far."""
        if self.settings.keep == "best" and self.best:
            return self.best
        return self.validations[-1] if self.last else None

    def _stale(self) -> int:
        """Validations since the last improvement, or all if there was none."""
        return len(self.validations) - (self.validations.index(self.best) + 1 if self.best else 0)

    def _ended(self, planned: RoundPlan) -> RoundPlan:
        self.last = planned.control["round"]
        kept = self.kept
        assert kept, "the last round was validated"
        reached = [replace(one, final=kept.round == self.last) for one in planned.checkpoints]
        if kept.round != self.last:
            reached.append(ModelCheckpoint(kept.model, "round", kept.round, final=True))
        return replace(planned, instructions=(), checkpoints=tuple(reached), over=True, ends="")


@runtime_checkable
class StopsEarly(Protocol):
    """A strategy whose rounds may end before their number."""

    def early_stop(self) -> EarlyStop | None:
        """What decides in one run of it, from its beginning; None: all rounds are trained."""
        ...


def early_stop_of(strategy_run: StrategyRun) -> EarlyStop | None:
    """What decides when the rounds of `strategy_run` end, from its beginning; None: nothing does."""
    strategy = strategy_run.strategy
    return strategy.early_stop() if isinstance(strategy, StopsEarly) else None


def loss_of(entries: Iterable[Entry]) -> float:
    """The loss over all tokens of the validation files that `entries` scored, in nats a token."""
    nats, tokens = 0.0, 0
    for entry in entries:
        losses = entry.table("losses")
        nats += sum(losses["nats"].to_pylist())
        tokens += sum(losses["tokens"].to_pylist())
    return nats / tokens
