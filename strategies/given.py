"""Given: the model as it comes, which counts as trained on the code of all organizations; for `raysim audit`."""

from collections.abc import Sequence
from typing import ClassVar, Self

from raysim.simulation.base_model import BaseModel
from raysim.simulation.strategy import Family, Federation, StrategySettings


class Given(BaseModel):
    """Trains nothing, as the base does not: the model that the experiment names is measured."""

    family: ClassVar[Family] = "given"

    @classmethod
    def variants(cls, settings: StrategySettings, federation: Federation) -> Sequence[Self]:
        """One variant, of all organizations."""
        del settings
        given = cls()
        given.members, given.order = federation.names, " + ".join(federation.names)
        return [given]
