"""What the report says of counterfactuals: lines given away beyond what models give away that never saw the owner."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from raysim.analysis.results import RunResults
from raysim.measures.base import Section, SectionTable

_COLUMNS = ("setting", "owner", "given away", "without it", "effect", "95 % interval")


def section(results: RunResults, rows: Sequence[dict[str, Any]]) -> Section | None:
    """The section, from the rows of `counterfactuals`; None where there are none of final models."""
    last: dict[str, int] = {}
    for m in results.reached_models:
        if m.final:
            last[m.strategy] = max(m.index, last.get(m.strategy, 0))
    exclusive = [row for row in rows if row["lines"] == "exclusive" and row["index"] == last.get(row["strategy"])]
    ends = [row for row in exclusive if row["trained"] and (row["family"] != "incremental" or not row["trained_on"])]
    if not ends:
        return None
    return Section(
        "counterfactuals",
        "Counterfactuals",
        "Counterfactuals",
        850,
        lead="Exclusive lines a prompt that final models give away of an owner on its own prompts, minus those of"
        " models of the same setting that were never trained on it.",
        tables=(SectionTable(_COLUMNS, [_cells(row) for row in ends]),),
        note=f"{_issued(rows)} Intervals are over seeds and files; {_never_trained(rows)} Every stage, round and order"
        " is in the table `counterfactuals`.",
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    after = {None: "", 0: ", trained last"}.get(row["since"], f", {row['since']} stages before the end")
    course = "" if row["family"] != "single" else f": {row['trained_on']}"
    interval = row["note"] if row["low"] is None else f"{_signed(row['low'])} to {_signed(row['high'])}"
    numbers = [_number(row[name]) for name in ("given_away", "without")]
    effect = "–" if row["effect"] is None else _signed(row["effect"])
    return (f"{row['strategy']}{course}{after}", row["owner"], *numbers, effect, interval)


def _issued(rows: Sequence[dict[str, Any]]) -> str:
    """How many have an interval, and why the others have none."""
    refused = Counter(_reason(row["note"]) for row in rows if row["low"] is None)
    if not refused:
        return f"All {len(rows)} counterfactuals have an interval."
    reasons = ", ".join(f"{number} {why}" for why, number in refused.most_common())
    return f"{len(rows) - refused.total()} of {len(rows)} counterfactuals have an interval; refused: {reasons}."


def _reason(note: str) -> str:
    return next((why for why in ("too few seeds", "too few", "no such model") if why in note), "without variation")


def _never_trained(rows: Sequence[dict[str, Any]]) -> str:
    """How many intervals of owners that models never saw hold 0."""
    of_others = [row for row in rows if not row["trained"] and row["low"] is not None]
    zero = sum(row["low"] <= 0 <= row["high"] for row in of_others)
    if not of_others:
        return "of owners that a model was never trained on there is none."
    return f"of owners that a model was never trained on, {zero} of {len(of_others)} hold 0, as they should."


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if round(value, 2) else "0.00"
