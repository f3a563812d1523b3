"""Centralized: the organizations pool their data, and one model trains on all of it.

Needs ``agreement: {share: data}`` of every organization. Sequences stay packed by organization; batches mix them.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

import pydantic
from raysim.strategies.sequential import SequentialSettings, SequentialStrategy

from raysim.core.errors import InputError
from raysim.simulation.strategy import Family, Federation


class CentralizedSettings(SequentialSettings):
    """How much of the data, and whether to train counterfactuals."""

    CHOOSE_VARIANTS = frozenset({"leave_one_out"})

    leave_one_out: bool = pydantic.Field(
        default=False, description="also train every pool without one of the organizations"
    )


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
