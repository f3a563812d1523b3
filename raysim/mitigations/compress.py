"""Compressed updates: clients send their largest changes alone, so that the server's model learns less of each."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree, changed_strategies, has_field


class CompressSettings(MitigationSettings):
    """How much of an update is sent."""

    share: float = pydantic.Field(default=0.01, gt=0, le=1, description="of an update's entries, the largest, are sent")
    error_feedback: bool = pydantic.Field(default=False, description="whether what was cut is sent later")


class Compress(Mitigation[CompressSettings]):
    """Sets ``compression`` of strategies with rounds."""

    Settings = CompressSettings
    summary: ClassVar[str] = "clients send the largest entries of their updates alone"
    source: ClassVar[str] = "Stich et al., NeurIPS 2018, arXiv 1809.07599"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        own = {"compression": {"top_k": self.settings.values()}}
        wanted, described = has_field("compression"), "strategies with rounds"
        return changed_strategies(experiment, lambda name, given, _: (name, given | own), wanted, described)
