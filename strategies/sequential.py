"""Training stage after stage, each from the weights of the one before: single, centralized, incremental."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pydantic

from raysim.core.keys import Key
from raysim.simulation.strategy import (
    ClientUpdate,
    Family,
    Federation,
    ModelCheckpoint,
    State,
    StrategySettings,
    TrainInstruction,
)
from raysim.training.weights import Flat


class SequentialSettings(StrategySettings):
    """What all of them take."""

    fraction: float = pydantic.Field(
        default=1.0, gt=0, le=1, description="of each organization's sequences; for comparisons at less or equal data"
    )
    epochs: int | None = pydantic.Field(
        default=None, ge=1, description="passes over the data in a stage; unset: trainer.epochs"
    )
    dropout_epochs: int | None = pydantic.Field(
        default=None,
        ge=0,
        description="epochs of a stage that have dropout, the first ones; unset: all. The study's scripts lose it after"
        " their first evaluation, and train one epoch with it",
    )


class SequentialStrategy:
    """Trains stages of organizations one after the other, each with a fresh optimizer.

    Args:
        stages: names of the organizations of each; several pool their data.
        federation: clients and defaults.
        settings: epochs, and what part of the data.
    """

    Settings: type[StrategySettings] = SequentialSettings
    family: ClassVar[Family]

    aggregates = False

    def __init__(self, stages: Sequence[tuple[str, ...]], federation: Federation, settings: SequentialSettings) -> None:
        self.fraction = settings.fraction
        self._stages = tuple(stages)
        self._epochs = settings.epochs or federation.epochs
        self._dropout_epochs = settings.dropout_epochs
        self.order = " > ".join(" + ".join(stage) for stage in self._stages)
        self.members = tuple(dict.fromkeys(name for stage in self._stages for name in stage))

    def recipe(self) -> dict[str, Any]:
        """Nothing is aggregated, so no setting decides a number here."""
        return {}

    def init(self, model: Key, weights: Flat) -> State:
        return State(model)

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        if state.round == len(self._stages):
            return []
        stage = self._stages[state.round]
        return [
            TrainInstruction(
                stage,
                state.model,
                self._epochs,
                self._epochs,
                fraction=self.fraction,
                dropout_epochs=self._dropout_epochs,
            )
        ]

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        return State(results[0].key, state.round + 1)

    def checkpoints(self, state: State) -> Sequence[ModelCheckpoint]:
        if state.round == 0:
            return [ModelCheckpoint(state.model, "initial", 0, final=False)]
        final = state.round == len(self._stages)
        stage = self._stages[state.round - 1]
        return [ModelCheckpoint(state.model, "stage", state.round, final, last=stage[0] if len(stage) == 1 else "")]
