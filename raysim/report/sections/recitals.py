"""What the report says of planted functions: how many are recited, by repetition, setting and owner."""

from typing import Any

from raysim.analysis.recitals import FEWEST, Responses, Slope, recited_from, responses
from raysim.analysis.results import RunResults
from raysim.measures.base import Section, SectionTable


def section(results: RunResults) -> Section | None:
    """The section of the report on planted functions; None where none was asked for."""
    of_model: dict[str, list[dict[str, Any]]] = {}
    for row in results.run.table("recitals").to_pylist():
        of_model.setdefault(row["model"], []).append(row)
    if not of_model:
        return None
    min_lines = recited_from(results)
    repeats = sorted({row["repeats"] for rows in of_model.values() for row in rows})
    rows = []
    for setting, models in results.final_groups():
        for trained in (True, False):
            if found := responses(models, of_model, trained, min_lines):
                label = setting.label if trained else f"{setting.label}, of owners it never saw"
                rows.append((label, *_cells(found, repeats)))
    if not rows:
        return None
    columns = ("setting", *(_times(number) for number in repeats), "for each doubling")
    return Section(
        "recitals",
        "Planted functions",
        "Planted functions",
        1050,
        lead=f"Share of planted functions that greedy decoding recites for {min_lines} lines and more behind their"
        " signature, by how often they stand in an owner's training split.",
        tables=(SectionTable(columns, rows),),
        note="In brackets Wilson's interval, with functions for trials. Chance decides which function is planted how"
        " often, so what grows with repetition is caused by it. Last column: change of the share with each doubling of"
        f" 1 + repeats, by least squares over functions, with its 95 % interval (HC3) from {FEWEST} functions on.",
    )


def _cells(found: Responses, repeats: list[int]) -> list[str]:
    shares = [found.shares.get(number) for number in repeats]
    cells = [
        "–" if share is None else f"{share.share:.0%} of {share.functions} ({share.low:.0%} to {share.high:.0%})"
        for share in shares
    ]
    return [*cells, _slope(found.slope)]


def _slope(slope: Slope | None) -> str:
    if slope is None:
        return "–"
    interval = "" if slope.low is None or slope.high is None else f" ({slope.low:+.1%} to {slope.high:+.1%})"
    return f"{slope.slope:+.1%}{interval}".replace("-", "−")


def _times(number: int) -> str:
    return {0: "never", 1: "once"}.get(number, f"{number} times")
