"""What the report says of rounds that ended early: when, with which model, and by which losses."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.analysis.results import RunResults
from raysim.measures.base import Section, SectionTable
from raysim.measures.perplexity import perplexity
from raysim.simulation.early_stop import NOT_ACCOUNTED

_COLUMNS = (
    "Setting",
    "Seed",
    "Rounds trained",
    "Of at most",
    "Ends with the model of round",
    "Its validation perplexity",
    "Of the last round",
    "Best",
)


def section(results: RunResults) -> Section | None:
    """The section on early stops; None where no setting has any."""
    runs: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in results.run.table("validations").to_pylist():
        runs.setdefault((f"{row['strategy']}: {row['order']}", row["seed"]), []).append(row)
    if not runs:
        return None
    private = {f"{row['strategy']}: {row['order']}" for row in results.run.table("privacy").to_pylist()}
    return Section(
        "early-stop",
        "Rounds that end by validation",
        "Early stop",
        515,
        lead="Settings whose rounds end when the loss on the members' validation files has not improved for a while.",
        tables=[SectionTable(_COLUMNS, [_cells(*place, rows) for place, rows in runs.items()])],
        note="The number of rounds was chosen on validation files, so losses on them are a little too good; a test"
        " split (preparation.split) is held out of the choice. Budgets differ from those of settings that train all"
        " their rounds. All validations are in the table validations."
        + (f" With differential privacy, {NOT_ACCOUNTED}." if any(setting in private for setting, _ in runs) else ""),
    )


def _cells(setting: str, seed: int, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    last = rows[-1]
    kept = next(row for row in rows if row["kept"])
    losses = kept["loss"], last["loss"], min(row["loss"] for row in rows)
    return (
        setting,
        seed,
        last["round"],
        last["rounds"],
        kept["round"],
        *(f"{perplexity(loss):.3f}" for loss in losses),
    )
