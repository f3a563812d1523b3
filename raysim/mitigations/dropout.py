"""Dropout: parts of the network rest at each step, so that no few weights hold a passage."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree


class DropoutSettings(MitigationSettings):
    """How much rests."""

    share: float = pydantic.Field(default=0.1, gt=0, lt=1, description="of a layer's outputs that rest at each step")


class Dropout(Mitigation[DropoutSettings]):
    """Sets ``model.dropout``."""

    Settings = DropoutSettings
    summary: ClassVar[str] = "a share of each layer's outputs rests at each step"
    source: ClassVar[str] = "Srivastava et al., JMLR 15, 2014"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        return {"model.dropout": self.settings.share}
