"""What the report says of the study's own counts."""

from collections.abc import Mapping
from typing import Any

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults, over_orders_and_seeds
from raysim.matching.study_counts import ANY
from raysim.measures.base import Section, SectionTable

_COUNTS = ("fragments", "lines", "fragments_per_prompt", "lines_per_prompt")


def section(results: RunResults) -> Section | None:
    """The section of the report on what the study calls memorization ratio; None where nothing was counted."""
    counted = [row for row in results.run.table("study_counts").to_pylist() if row["owner"] == ANY]
    if not counted:
        return None
    of_model: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in counted:
        of_model.setdefault(row["kind"], {})[row["model"]] = row
    groups = results.final_groups()
    rows = []
    for kind, found in sorted(of_model.items()):
        rows += [(row.label, kind, *cells) for row, models in groups if (cells := _means(models, found)) is not None]
    rules = (
        "without case and curly braces, as its clone detector Simian does" if counted[0]["simian"] else "as they are"
    )
    return Section(
        "study-counts",
        "The study's counts",
        "The study's counts",
        850,
        lead="Distinct fragments of any organization's training text in the continuations of final models, and the sum"
        " of their lines: what the study calls memorization ratio. It has no denominator, so it grows with prompts and"
        " samples.",
        tables=[
            SectionTable(
                ("Setting", "Prompts", "Fragments", "Their lines", "Fragments a prompt", "Lines a prompt"), rows
            )
        ],
        note=f"Means over orders and seeds. Lines are compared {rules}. Covered lines a prompt, elsewhere on this page,"
        " count a line in every sample that has it.",
    )


def _means(models: list[ReachedModel], found: Mapping[str, Mapping[str, Any]]) -> list[str] | None:
    """One cell for each count; None where none of the models was counted."""
    counted = [(reached, found[reached.model]) for reached in models if reached.model in found]
    if not counted:
        return None
    means = {name: over_orders_and_seeds([(reached, row[name]) for reached, row in counted]) for name in _COUNTS}
    return [f"{mean:,.2f}" if name.endswith("prompt") else f"{mean:,.1f}" for name, mean in means.items()]
