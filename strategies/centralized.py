"""Centralized: the organizations pool their data, and one model trains on all of it.

Needs ``agreement: {share: data}`` of every organization. Sequences stay packed by organization; batches mix them.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

from raysim.strategies.sequential import SequentialSettings, SequentialStrategy

from raysim.simulation.strategy import Family, Federation


class Centralized(SequentialStrategy):
    """One stage, on the pooled data of all organizations."""

    family: ClassVar[Family] = "centralized"

    @classmethod
    def variants(cls, settings: SequentialSettings, federation: Federation) -> Sequence[Self]:
        """One variant."""
        return [cls([federation.names], federation, settings)]
