"""Low-rank adapters: the checkpoint is frozen, and little room is left to hold passages in."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree


class LoraMitigationSettings(MitigationSettings):
    """How much room is left."""

    rank: int = pydantic.Field(default=8, ge=1, description="inner dimension of the adapters")
    rate: float | None = pydantic.Field(
        default=None, gt=0, description="times the learning rate, which adapters take higher; unset: as it is"
    )


class Lora(Mitigation[LoraMitigationSettings]):
    """Sets ``model.lora``, and the learning rate that it takes."""

    Settings = LoraMitigationSettings
    summary: ClassVar[str] = "low-rank adapters are trained in place of all weights"
    source: ClassVar[str] = "Hu et al., ICLR 2022, arXiv 2106.09685"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        found: dict[str, Any] = {"model.lora": {"rank": self.settings.rank, "alpha": 2 * self.settings.rank}}
        if self.settings.rate is not None:
            found["trainer.learning_rate"] = experiment["trainer"]["learning_rate"] * self.settings.rate
        return found
