"""A report made anew from tables that somebody shipped: its verdicts against those that came with them."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from raysim.report.run_page import write_run_page
from raysim.tables.io import read_table, table_path

DERIVED = (
    "summary",
    "gains",
    "contrasts",
    "findings",
    "orders",
    "order_effects",
    "attacks",
    "predictions",
    "pass_at_k",
    "privacy_audits",
)
"""Tables that a report writes."""

_PLACE = ("finding", "arm")
_STATED = ("statement", "verdict", "contrast", "unit", "seeds", "margin")
_NUMBERS = ("value", "low", "high", "adjusted_low", "adjusted_high", "p")


def rebuilt(shipped: Path, folder: Path) -> Path:
    """A copy of what was shipped in `folder`, without what a report derives, and the report made from the rest."""
    copy = Path(shutil.copytree(shipped, folder / "run"))
    for name in DERIVED:
        table_path(copy, name).unlink(missing_ok=True)
    (copy / "report.html").unlink(missing_ok=True)
    write_run_page(copy)
    return copy


def verdicts(folder: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What the table `findings` states, by finding and arm; numbers to nine digits, as libraries round differently."""
    return {tuple(row[name] for name in _PLACE): _stated(row) for row in read_table(folder, "findings").to_pylist()}


def _stated(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _STATED} | dict(_rounded(row, _NUMBERS))


def _rounded(row: dict[str, Any], names: Iterable[str]) -> Iterable[tuple[str, float | None]]:
    for name in names:
        yield name, None if row[name] is None else float(f"{row[name]:.9g}")
