"""Centralized: the organizations pool their data, and one model trains on all of it.

Needs ``agreement: {share: data}`` of every organization. Sequences stay packed by organization, and batches mix them,
unless `pooled_packing` packs the files of all into common sequences.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Self

import pydantic
from raysim.strategies.sequential import SequentialSettings, SequentialStrategy

from raysim.core.errors import InputError
from raysim.simulation.strategy import Family, Federation, State, TrainInstruction


class CentralizedSettings(SequentialSettings):
    """How much of the data, and whether to train counterfactuals."""

    CHOOSE_VARIANTS = frozenset({"leave_one_out"})

    leave_one_out: bool = pydantic.Field(
        default=False, description="also train every pool without one of the organizations"
    )
    pooled_packing: bool = pydantic.Field(
        default=False,
        description="packs the files of all organizations into common sequences, as the study's scripts do; else each"
        " sequence holds code of one organization, the very ones that other settings see",
    )

    def cautions(self, epochs: int) -> Sequence[str]:
        if not self.pooled_packing:
            return super().cautions(epochs)
        return [
            *super().cautions(epochs),
            "pooled_packing: trains on sequences of its own, while prefix prompts, passages (extraction) and training"
            " losses are from those that each organization packs: it has seen their tokens, in other places",
        ]


class Centralized(SequentialStrategy):
    """One stage, on the pooled data of all organizations."""

    Settings = CentralizedSettings
    family: ClassVar[Family] = "centralized"

    @classmethod
    def variants(cls, settings: CentralizedSettings, federation: Federation) -> Sequence[Self]:
        """One variant, and with `leave_one_out` one more for each organization that is left out.

        Raises:
            InputError: none is left when one is left out.
        """
        pools = [federation]
        if settings.leave_one_out:
            pools += [federation.without(name) for name in federation.names]
        if not all(pool.clients for pool in pools):
            raise InputError("leave_one_out: needs two organizations or more")
        return [cls([pool.names], pool, settings) for pool in pools]

    def __init__(
        self, stages: Sequence[tuple[str, ...]], federation: Federation, settings: CentralizedSettings
    ) -> None:
        super().__init__(stages, federation, settings)
        self._pooled_packing = settings.pooled_packing

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [
            replace(instruction, pooled_packing=self._pooled_packing and len(instruction.organizations) > 1)
            for instruction in super().plan(state)
        ]
