"""Given: the model as it comes, which counts as trained on the code of all organizations; for `raysim audit`."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

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


class Given:
    """Trains nothing: the model that the experiment names is measured."""

    Settings = StrategySettings
    family: ClassVar[Family] = "given"

    fraction = 1.0
    aggregates = False

    def __init__(self, federation: Federation) -> None:
        self.members = federation.names
        self.order = " + ".join(federation.names)

    @classmethod
    def variants(cls, settings: StrategySettings, federation: Federation) -> Sequence[Self]:
        """One variant."""
        del settings
        return [cls(federation)]

    def recipe(self) -> dict[str, Any]:
        """Nothing is aggregated."""
        return {}

    def init(self, model: Key, weights: Flat) -> State:
        del weights
        return State(model)

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        del state
        return []

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        del results, key
        return state

    def checkpoints(self, state: State) -> Sequence[ModelCheckpoint]:
        return [ModelCheckpoint(state.model, "initial", 0, final=True)]
