"""The goldfish loss: one token in k is never learnt, the same one wherever a passage is."""

from typing import Any, ClassVar

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree
from raysim.training.goldfish import GoldfishSettings


class GoldfishMitigationSettings(MitigationSettings, GoldfishSettings):
    """How many tokens are left out, and by what."""


class Goldfish(Mitigation[GoldfishMitigationSettings]):
    """Sets ``trainer.goldfish``."""

    Settings = GoldfishMitigationSettings
    summary: ClassVar[str] = "one token in k is never learnt, the same wherever a passage is copied"
    source: ClassVar[str] = "Hans et al., NeurIPS 2024, arXiv 2406.10209"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        return {"trainer.goldfish": self.settings.values()}
