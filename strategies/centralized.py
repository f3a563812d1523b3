"""Centralized: the organizations pool their data, and one model trains on all of it.

Needs ``agreement: {share: data}`` of every organization. Sequences stay packed by organization; batches mix them.
"""

from collections.abc import Sequence
from typing import Self

from raysim.strategies.sequential import LegSettings, SequentialStrategy

from raysim.simulation.strategy import Federation


class Centralized(SequentialStrategy):
    """One leg: all organizations as one coalition."""

    @classmethod
    def variants(cls, settings: LegSettings, federation: Federation) -> Sequence[Self]:
        """One instance."""
        return [cls([federation.names], federation, settings.fraction)]
