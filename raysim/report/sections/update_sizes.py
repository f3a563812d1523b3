"""What the report says of updates that were compressed or masked: bytes saved, and how much of a change was cut."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raysim.analysis.results import RunResults
from raysim.measures.base import Section, SectionTable
from raysim.report.sections.overview import quantity

_COLUMNS = (
    "Setting",
    "Organization",
    "Form",
    "Sent a round",
    "Whole weights",
    "Saved",
    "Norm of a change",
    "Norm of what was cut",
    "Clipped weights",
)

_CUT = (
    "Means over rounds and seeds. What was cut is the change, with what error feedback had kept of earlier ones, minus"
    " what the server has of it."
)

_SIMULATED = (
    " Secure aggregation is simulated: the server's half sees masked vectors and their sum, yet all secrets derive from"
    " the seed of the run and all parties run on machines of one owner, so it protects nobody from whoever runs it. It"
    " stands for a server that follows the protocol; the sum itself, and so the model, is seen by all."
)


def section(results: RunResults) -> Section | None:
    """The section of the report; None where all updates were sent as whole weights."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    rows = results.run.table("update_sizes").to_pylist()
    for row in rows:
        groups.setdefault((f"{row['strategy']}: {row['order']}", row["organization"], row["form"]), []).append(row)
    if not groups:
        return None
    return Section(
        "update_sizes",
        "What clients send in place of their weights",
        "Size of updates",
        2410,
        lead="Bytes that an organization sends to the server in a round, and what of its change gets lost on the way.",
        tables=(SectionTable(_COLUMNS, [(*place, *_cells(group)) for place, group in groups.items()]),),
        note=_CUT + (_SIMULATED if any(row["form"] == "masked" for row in rows) else ""),
    )


def _cells(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    sent, raw = (float(np.mean([row[name] for row in rows])) for name in ("bytes", "raw_bytes"))
    clipped = [row["clipped"] for row in rows if row["clipped"] is not None]
    return (
        quantity(round(sent), "B"),
        quantity(round(raw), "B"),
        f"{100 * (1 - sent / raw):.1f} %",
        *(f"{np.mean([row[name] for row in rows]):.3g}" for name in ("update_norm", "cut_norm")),
        f"{np.mean(clipped):.1f}" if clipped else "–",
    )
