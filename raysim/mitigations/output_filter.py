"""Output filter: what a model writes ends before it would repeat lines of somebody's training split."""

from typing import Any, ClassVar, Literal

import pydantic

from raysim.mitigations.base import Mitigation, MitigationSettings, Tree


class OutputFilterMitigationSettings(MitigationSettings):
    """What is blocked, and what follows; see ``measure.memorization.output_filter``."""

    lines: int | None = pydantic.Field(
        default=None, ge=1, description="consecutive significant lines that are not repeated; unset: min_lines"
    )
    action: Literal["stop", "resample"] = pydantic.Field(default="stop", description="ends a sample, or draws it anew")


class OutputFilterMitigation(Mitigation[OutputFilterMitigationSettings]):
    """Sets ``measure.memorization.output_filter``. Models and losses stay as they are."""

    Settings = OutputFilterMitigationSettings
    summary: ClassVar[str] = "a sample ends before it would repeat lines of a training split"
    source: ClassVar[str] = "Ippolito et al., INLG 2023, arXiv 2210.17546"

    def overrides(self, experiment: Tree) -> dict[str, Any]:
        memorization = (experiment.get("measure") or {}).get("memorization")
        if not memorization:
            raise ValueError("models write nothing; add measure.memorization, or leave it out")
        lines = self.settings.lines or memorization["min_lines"]
        return {"measure.memorization.output_filter": {"lines": lines, "action": self.settings.action}}
