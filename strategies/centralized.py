"""Centralized: the organizations pool their data, and one model trains on all of it.

Needs ``agreement: {share: data}`` of every organization. Sequences stay packed by organization; batches mix them.
"""

from collections.abc import Sequence
from typing import Self

from raysim.simulation.strategy import Federation, StrategySettings
from strategies.legs import Legs


class Centralized(Legs):
    """One leg: all organizations as one coalition."""

    Settings = StrategySettings

    @classmethod
    def variants(cls, settings: StrategySettings, federation: Federation) -> Sequence[Self]:
        """One instance."""
        return [cls([federation.names], federation)]
