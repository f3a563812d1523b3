"""What the report says of settings that gave nothing away, below the picture of utility against leakage."""

from raysim.analysis.results import RunResults
from raysim.analysis.zeros import zero_of_setting
from raysim.report.sections.overview import listed


def at_zero(results: RunResults) -> str:
    """Which settings gave no exclusive line away, and what that is worth; '' where each gave one.

    Settings that are worth the same are named together.
    """
    alike: dict[str, list[str]] = {}
    for row, models in results.final_groups():
        if zero := zero_of_setting(results, models):
            alike.setdefault(zero.text, []).append(row.label)
    if not alike:
        return ""
    parts = "; ".join(f"{listed(names)} ({text})" for text, names in alike.items())
    return f"At zero, with the most that so few files allow (Wilson, 95 %): {parts}."
