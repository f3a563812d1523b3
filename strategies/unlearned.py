"""Unlearned: what is left of an organization in a pooled model after it has gone, by a cheap way and by the exact one.

The exact way is to train again without it: those are the stages of `centralized` with ``leave_one_out``, found by their
keys. The cheap one starts from the pooled model, and climbs the organization's loss for some steps; see
`raysim.training.ascent`. Whether the cheap way has forgotten as much, and what it cost the others, is the question.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Self

import pydantic
from raysim.strategies.sequential import SequentialSettings, SequentialStrategy

from raysim.core.errors import InputError
from raysim.simulation.strategy import Family, Federation, State, TrainInstruction
from raysim.training.objectives import ObjectiveConfig

ASCENT = "ascent"
"""The name of the objective."""


class UnlearnedSettings(SequentialSettings):
    """Who goes, and how long their loss is climbed."""

    CHOOSE_VARIANTS = frozenset({"organizations"})

    organizations: list[str] | None = pydantic.Field(
        default=None, min_length=1, description="who goes, each in a variant of its own; unset: everybody in turn"
    )
    steps: int = pydantic.Field(
        default=10, ge=1, description="optimizer steps that climb the loss of who goes; the loss has no upper end"
    )


class Unlearned(SequentialStrategy):
    """Two variants for each organization that goes: pooled, then climbed; and pooled without it."""

    Settings = UnlearnedSettings
    family: ClassVar[Family] = "unlearned"

    @classmethod
    def variants(cls, settings: UnlearnedSettings, federation: Federation) -> Sequence[Self]:
        """Two variants for each organization that goes.

        Raises:
            InputError: nobody would be left, or someone who goes takes no part.
        """
        if len(federation.clients) < 2:
            raise InputError("needs two organizations or more, so that somebody is left")
        going = settings.organizations or list(federation.names)
        if strangers := [name for name in going if name not in federation.names]:
            raise InputError(f"organizations: {strangers[0]!r} takes no part; there are: {', '.join(federation.names)}")
        return [
            one
            for name in going
            for one in (
                cls([federation.names, (name,)], federation, settings),
                cls([federation.without(name).names], federation.without(name), settings),
            )
        ]

    def __init__(self, stages: Sequence[tuple[str, ...]], federation: Federation, settings: UnlearnedSettings) -> None:
        super().__init__(stages, federation, settings)
        self._steps = settings.steps

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        instructions = super().plan(state)
        if state.round == 0:
            return instructions
        climb = {"epochs": 1, "horizon_epochs": 1, "epoch_steps": self._steps, "dropout_epochs": None}
        return [replace(one, objective=ObjectiveConfig(ASCENT), **climb) for one in instructions]
