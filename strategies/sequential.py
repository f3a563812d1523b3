"""Training leg after leg, each from the weights of the one before: single, centralized, incremental."""

from collections.abc import Sequence
from typing import Any

import pydantic

from raysim.core.keys import Key
from raysim.simulation.strategy import (
    ClientUpdate,
    Federation,
    ModelCheckpoint,
    State,
    StrategySettings,
    TrainInstruction,
)
from raysim.training.weights import Flat


class LegSettings(StrategySettings):
    """How much data each stage trains on."""

    fraction: float = pydantic.Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of each organization's sequences that is trained on; for comparisons at less or equal data",
    )


class SequentialStrategy:
    """Trains the coalitions of `legs` in turn, `federation.epochs` each, with a fresh optimizer for each leg."""

    Settings: type[StrategySettings] = LegSettings

    aggregates = False

    def __init__(self, legs: Sequence[tuple[str, ...]], federation: Federation, fraction: float) -> None:
        self._fraction = fraction
        self._legs = tuple(legs)
        self._epochs = federation.epochs
        self.order = " > ".join(" + ".join(leg) for leg in self._legs)

    def recipe(self) -> dict[str, Any]:
        """Nothing is aggregated, so no setting decides a number here."""
        return {}

    def init(self, model: Key, weights: Flat) -> State:
        return State(model)

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        if state.round == len(self._legs):
            return []
        leg = self._legs[state.round]
        return [TrainInstruction(leg, state.model, self._epochs, self._epochs, fraction=self._fraction)]

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        return State(results[0].key, state.round + 1)

    def checkpoints(self, state: State) -> Sequence[ModelCheckpoint]:
        if state.round == 0:
            return [ModelCheckpoint(state.model, "initial", 0, final=False)]
        final = state.round == len(self._legs)
        leg = self._legs[state.round - 1]
        return [ModelCheckpoint(state.model, "stage", state.round, final, last=leg[0] if len(leg) == 1 else "")]
