"""Order: incremental training in one order, by what the organizations' data is like."""

from typing import Any, ClassVar, Literal

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree, changed_strategies, named


class OrderBySettings(MitigationSettings):
    """By what, and in which direction."""

    by: Literal["size", "diversity", "duplicates"] = pydantic.Field(
        default="diversity", description="what organizations are ordered by"
    )
    descending: bool = pydantic.Field(default=False, description="the organization that has the most comes first")


class OrderBy(Mitigation[OrderBySettings]):
    """Sets ``orders`` of ``incremental``."""

    Settings = OrderBySettings
    summary: ClassVar[str] = "organizations train one after the other in an order by their data"
    source: ClassVar[str] = "Chen & Jiang, ASE 2024, arXiv 2409.12020"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        own = {"orders": self.settings.values()}
        wanted, described = named("incremental"), "incremental"
        return changed_strategies(experiment, lambda name, given, _: (name, given | own), wanted, described)
