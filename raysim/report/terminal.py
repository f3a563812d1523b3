"""The scoreboard and the owner matrix in the terminal, 100 columns wide."""

from pathlib import Path
from typing import TYPE_CHECKING

from raysim.report import budgets, sections
from raysim.report.folder import open_run
from raysim.report.summary import Study

if TYPE_CHECKING:
    from rich.console import Group

WIDTH = 100
_SHORT = {
    "bits_per_byte": "Bits/byte",
    "log_perplexity": "Perplexity",
    "accuracy": "Next token",
    "parses": "Parses",
    "exclusive": "Exclusive",
    "ratio": "Ratio",
    "matched_share": "Matched",
}
"""The columns of the scoreboard for which 100 characters leave room."""


def summary_table(run_dir: Path | str) -> "Group":
    """What a run found, for ``rich.console.Console.print``; 100 columns suffice for it.

    Raises:
        InputError: no run folder, or tables of another version.
    """
    from rich.console import Group
    from rich.text import Text

    study = Study(open_run(run_dir))
    parts: list[object] = [Text(sections.headline(study)), Text("")]
    warnings = budgets.warnings(study.points)
    parts += [Text(f"Budgets differ: {warning}.", style="yellow") for warning in warnings]
    parts += _scoreboard(study)
    parts += _owners(study)
    report = study.run.path / "report.html"
    where = str(report) if report.exists() else f"not written yet; raysim report {study.run.path} writes it"
    # A path must stay in one piece to be copied, however narrow the terminal is.
    parts.append(Text(f"Report: {where}", overflow="ignore", no_wrap=True))
    return Group(*parts)  # type: ignore[arg-type]


def _scoreboard(study: Study) -> list[object]:
    from rich.table import Table
    from rich.text import Text

    columns, rows = sections.scoreboard(study)
    if not rows or not columns:
        return [Text("No final model was measured yet."), Text("")]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", width=WIDTH)
    table.add_column("Setting", overflow="ellipsis", no_wrap=True, ratio=1)
    shown = [i for i, (measure, _, _) in enumerate(columns) if measure in _SHORT]
    for i in shown:
        table.add_column(_SHORT[columns[i][0]], justify="right", no_wrap=True)
    for row, cells in rows:
        table.add_row(Text(row.label), *(Text(cells[i].text) for i in shown))
    return [table, Text("")]


def _owners(study: Study) -> list[object]:
    from rich.table import Table
    from rich.text import Text

    rows = sections.owner_matrix(study)
    if not rows:
        return [Text("Memorization was not measured: add `measure: {memorization: {}}` and run again."), Text("")]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=WIDTH)
    table.add_column("Covered lines per eligible prompt, by owner", overflow="ellipsis", no_wrap=True, ratio=1)
    for owner in study.organizations:
        table.add_column(Text(owner), justify="right", no_wrap=True, max_width=16, overflow="ellipsis")
    for row, cells in rows:
        table.add_row(Text(row.label), *(Text(cell) for cell in cells))
    return [table, Text("In brackets: the owner's data took no part in that model's training."), Text("")]
