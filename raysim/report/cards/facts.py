"""What both kinds of cards say: agreements, figures of memorization, tables in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from raysim.analysis.results import RunResults
from raysim.report.methods.words import listed, number

TEMPLATES = Path(__file__).parents[1] / "templates" / "cards"

NOT_STATED = "not stated"

_PERCENT = ".1%"
FIGURES: tuple[tuple[str, str, str], ...] = (
    ("bits_per_byte", "bits per byte on its validation files", ".3f"),
    ("own_prompts", "prompts from its training files", ",.0f"),
    ("own_lines", "exclusive lines a prompt", ".3f"),
    ("own_leaking", "prompts answered with such a line", _PERCENT),
    ("extracted", "passages given word for word", _PERCENT),
    ("near_extracted", "passages given nearly so", _PERCENT),
    ("recited", "planted functions recited", _PERCENT),
    ("recited_unplanted", "the same of functions planted nowhere", _PERCENT),
    ("exposure", "exposure of canaries (bits)", ".1f"),
    ("exposure_unplanted", "the same of canaries planted nowhere", ".1f"),
    ("membership_min_k_plus_plus_auc", "membership, AUC of Min-K%++", ".3f"),
    ("membership_blind_auc", "the same of a guess without the model", ".3f"),
)
"""Columns of the table ``summary``, what they are, and how they are written."""

ABOUT_FIGURES = (
    "Exclusive lines are generated lines that stand in training files of one organization and of no other, nor in the"
    " public references, in runs of some length (`raysim tables` explains each measure). A figure near that of its"
    " control (planted nowhere, guess without the model) shows nothing. What was not measured is not in the table. A"
    " low figure is no promise: other prompts may get more out of the model."
)


def agreement(results: RunResults, name: str) -> list[tuple[str, str]]:
    """What an organization has agreed to, as names and texts."""
    found = results.run.setting("organizations", name, "agreement") or {}
    share = {
        "data": "its code may be pooled with others'",
        "weights": "only weights and counts leave; its code stays with it",
    }
    shown = "lines of it that models repeat may be published" if found.get("evidence") else "no line of it is published"
    return [
        ("Sharing", share[found.get("share") or "weights"]),
        ("Licences it may be trained on", listed(found.get("train_on") or ()) or "all"),
        ("Licences under which models may repeat it", listed(found.get("licences") or ()) or "not judged"),
        ("Evidence", shown),
        ("Holds until", str(found.get("expires") or "no day is set")),
        *((label.capitalize(), str(found.get(label) or NOT_STATED)) for label in ("purpose", "owner", "liability")),
    ]


def figures(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Titles of the figures that some row has, and for each row their texts."""
    known = [one for one in FIGURES if any(row.get(one[0]) is not None for row in rows)]
    texts = [
        ["" if (value := row.get(name)) is None else format(value, form) for name, _, form in known] for row in rows
    ]
    return [title for _, title, _ in known], texts


class OrganizationRows:
    """The rows of tables by organization: each table is read once, however many organizations there are."""

    def __init__(self, results: RunResults) -> None:
        self._results = results
        self._groups: dict[str, dict[str, list[dict[str, Any]]]] = {}

    def of(self, table: str, name: str) -> list[dict[str, Any]]:
        """The rows of `table` that are about the organization `name`."""
        if table not in self._groups:
            groups = self._groups[table] = {}
            for row in self._results.run.table(table).to_pylist():
                groups.setdefault(row["organization"], []).append(row)
        return self._groups[table].get(name, [])


def means(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Of each figure the mean over the rows that have it."""
    found = {name: [row[name] for row in rows if row.get(name) is not None] for name, _, _ in FIGURES}
    return {name: fmean(values) for name, values in found.items() if values}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of Markdown; what would break one is written otherwise. Empty without rows."""
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(map(_cell, header))} |", f"|{'---|' * len(header)}", *lines])


def _cell(value: Any) -> str:
    text = number(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
