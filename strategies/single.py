"""Single: every organization trains alone on its own data, the baseline of no collaboration."""

from collections.abc import Sequence
from typing import Self

from raysim.simulation.strategy import Federation, StrategySettings
from strategies.legs import Legs


class Single(Legs):
    """One leg: one organization."""

    Settings = StrategySettings

    @classmethod
    def variants(cls, settings: StrategySettings, federation: Federation) -> Sequence[Self]:
        """One instance for each organization."""
        return [cls([(name,)], federation) for name in federation.names]
