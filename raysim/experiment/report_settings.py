"""Settings of the report."""

from pydantic import Field

from raysim.core.settings import Settings


class ReportSettings(Settings):
    """How the report weighs one measure against another; nothing here changes what is measured."""

    leakage_weight: float = Field(
        default=0.05,
        ge=0,
        allow_inf_nan=False,
        description="bits per byte that one exclusive covered line a prompt is worth, when orders are ranked",
    )
