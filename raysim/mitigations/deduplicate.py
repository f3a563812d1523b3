"""Deduplication across owners: a file that several have is trained on once, or not at all."""

from typing import Any, ClassVar, Literal

import pydantic

from raysim.corpus.deduplication import Match
from raysim.mitigations.base import Mitigation, MitigationSettings, Tree


class DeduplicateSettings(MitigationSettings):
    """Which copies go."""

    across: Literal["first_owner", "drop_all"] = pydantic.Field(
        default="first_owner", description="who keeps a file that several have"
    )
    match: Match = pydantic.Field(default="near", description="exact, or near: also files whose words are nearly equal")


class Deduplicate(Mitigation[DeduplicateSettings]):
    """Sets ``deduplication``, and looks for near copies within each organization, too."""

    Settings = DeduplicateSettings
    summary: ClassVar[str] = "files that are there twice, within and across organizations, are trained on once"
    source: ClassVar[str] = "Lee et al., ACL 2022, arXiv 2107.06499"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        found: dict[str, Any] = {"deduplication": self.settings.values()}
        if self.settings.match == "near":
            found["preparation.near_dedup"] = True
        return found
