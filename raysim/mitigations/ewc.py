"""Elastic weight consolidation: later organizations move weights that mattered to earlier ones less."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree, changed_strategies, has_field


class ElasticMitigationSettings(MitigationSettings):
    """How strongly weights are held; see ``strategies.incremental.ewc``."""

    strength: float = pydantic.Field(default=100.0, gt=0, description="weight of the pull back to where a stage starts")
    samples: int = pydantic.Field(default=64, ge=1, description="sequences of each earlier organization that say where")


class ElasticMitigation(Mitigation[ElasticMitigationSettings]):
    """Sets ``ewc`` of strategies that train organizations one after the other."""

    Settings = ElasticMitigationSettings
    summary: ClassVar[str] = "later organizations hold weights that mattered to earlier ones near to where they were"
    source: ClassVar[str] = "Kirkpatrick et al., PNAS 114(13), 2017, arXiv 1612.00796"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        own = {"ewc": self.settings.values()}
        wanted, described = has_field("ewc"), "strategies that train one after the other"
        return changed_strategies(experiment, lambda name, given, _: (name, given | own), wanted, described)
