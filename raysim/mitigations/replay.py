"""Replay: later organizations train on some of the earlier ones' code beside their own, so that it is not forgotten."""

from typing import Any, ClassVar

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree, changed_strategies, has_field


class ReplaySettings(MitigationSettings):
    """How much is replayed; see ``strategies.incremental.replay``."""

    share: float = pydantic.Field(
        default=0.1, gt=0, le=1, description="of every earlier organization's training sequences"
    )


class ReplayMitigation(Mitigation[ReplaySettings]):
    """Sets ``replay`` of strategies that train organizations one after the other."""

    Settings = ReplaySettings
    summary: ClassVar[str] = "later organizations train on a share of the earlier ones' sequences beside their own"
    source: ClassVar[str] = "Rolnick et al., NeurIPS 2019, arXiv 1811.11682"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        own = {"replay": self.settings.share}
        wanted, described = has_field("replay"), "strategies that train one after the other"
        return changed_strategies(experiment, lambda name, given, _: (name, given | own), wanted, described)
