"""Single: every organization trains alone on its own data, the baseline of no collaboration."""

from collections.abc import Sequence
from typing import Self

from raysim.strategies.sequential import LegSettings, SequentialStrategy

from raysim.simulation.strategy import Federation


class Single(SequentialStrategy):
    """One leg: one organization."""

    @classmethod
    def variants(cls, settings: LegSettings, federation: Federation) -> Sequence[Self]:
        """One instance for each organization."""
        return [cls([(name,)], federation, settings.fraction) for name in federation.names]
