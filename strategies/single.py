"""Single: every organization trains alone on its own data, the baseline of no collaboration."""

from collections.abc import Sequence
from typing import ClassVar, Self

from raysim.strategies.sequential import SequentialSettings, SequentialStrategy

from raysim.simulation.strategy import Family, Federation


class Single(SequentialStrategy):
    """One stage, on the data of one organization."""

    family: ClassVar[Family] = "single"

    @classmethod
    def variants(cls, settings: SequentialSettings, federation: Federation) -> Sequence[Self]:
        """One variant for each organization."""
        return [cls([(name,)], federation, settings) for name in federation.names]
