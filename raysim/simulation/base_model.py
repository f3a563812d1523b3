"""The base: a model that was trained on public code alone, beside which what organizations train is seen.

It is no choice of an experiment but comes with `model.pretrain`; every setting starts from it.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from raysim.core.keys import Key
from raysim.simulation.registry import StrategyConfig
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

BASE = "base"
"""Its label in tables."""


class BaseModel:
    """Trains nobody's code: the model that all settings start from is also its last."""

    Settings = StrategySettings
    family: ClassVar[Family] = "base"

    order = ""
    members: tuple[str, ...] = ()
    fraction = 1.0
    aggregates = False

    @classmethod
    def variants(cls, settings: StrategySettings, federation: Federation) -> Sequence[Self]:
        del settings, federation
        return [cls()]

    def recipe(self) -> dict[str, Any]:
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


def base_config() -> StrategyConfig:
    """The setting of the base."""
    return StrategyConfig(BASE, BaseModel, StrategySettings())
