"""Anchored: each organization alone, penalized for moving away from the weights that it began with.

Li, Grandvalet & Davoine: Explicit Inductive Bias for Transfer Learning with Convolutional Networks, ICML 2018, arXiv
1802.01483, which calls the penalty L2-SP: the loss plus ``alpha / 2 * |w - w_start|^2``.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pydantic
from raysim.strategies.sequential import SequentialSettings
from raysim.strategies.single import Single
from raysim.training.objectives import Objective, ObjectiveConfig

from raysim.core.settings import Settings
from raysim.simulation.strategy import Federation, State, TrainInstruction

if TYPE_CHECKING:
    import torch


class AnchorSettings(Settings):
    """Strength of the pull."""

    alpha: float = pydantic.Field(default=0.01, ge=0, description="weight of half the squared distance")


class Anchor(Objective):
    """The local objective: what is added to the loss, in every step."""

    Settings = AnchorSettings

    def __init__(self, settings: AnchorSettings) -> None:
        self._alpha = settings.alpha

    def recipe(self) -> dict[str, Any]:
        return {"version": 1, "alpha": self._alpha}

    def penalty(self, parameters: "Sequence[torch.Tensor]", start: "Sequence[torch.Tensor]") -> "torch.Tensor":
        squares = [(now - before).square().sum() for now, before in zip(parameters, start, strict=True)]
        return self._alpha / 2 * sum(squares[1:], squares[0])


class AnchoredSettings(SequentialSettings, AnchorSettings):
    """What `single` takes, and the strength of the pull."""


class Anchored(Single):
    """The strategy: `single` that names the objective in every instruction."""

    Settings = AnchoredSettings

    def __init__(self, stages: Sequence[tuple[str, ...]], federation: Federation, settings: AnchoredSettings) -> None:
        super().__init__(stages, federation, settings)
        self._objective = ObjectiveConfig("anchor", {"alpha": settings.alpha})

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [replace(instruction, objective=self._objective) for instruction in super().plan(state)]
