"""Weight decay: weights shrink at each step, so that only what is seen often stays."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree


class WeightDecaySettings(MitigationSettings):
    """How much weights shrink."""

    factor: float = pydantic.Field(default=1.0, gt=0, description="of the learning rate, by which weights shrink")


class WeightDecay(Mitigation[WeightDecaySettings]):
    """Sets ``trainer.weight_decay``."""

    Settings = WeightDecaySettings
    summary: ClassVar[str] = "weights shrink faster at each step"
    source: ClassVar[str] = "Loshchilov & Hutter, ICLR 2019, arXiv 1711.05101"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        return {"trainer.weight_decay": self.settings.factor}
