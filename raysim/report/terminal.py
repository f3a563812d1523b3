"""The scoreboard and the owner matrix in the terminal, 100 columns wide."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysim.analysis import budgets, held_out_copies
from raysim.analysis.results import Row, RunResults
from raysim.analysis.scores import Score
from raysim.analysis.sweep import is_sweep, open_sweep
from raysim.report import headlines
from raysim.report.sections import overview as sections
from raysim.report.sections import sweep as sweep_sections
from raysim.tables.results import open_run

if TYPE_CHECKING:
    from rich.console import Group

WIDTH = 100

_OWNERS = (
    "In brackets: the owner's data took no part in that model's training. In place of a zero: the share of prompts that"
    " so few files allow (Wilson, 95 %); † undertrained on the owner's code, so no safety; ? fit not known."
)


def summary_table(run_dir: Path | str) -> "Group":
    """What a run found, for ``rich.console.Console.print``; 100 columns suffice for it.

    Raises:
        InputError: no run folder, or tables of another version.
    """
    from rich.console import Group
    from rich.text import Text

    results = RunResults(open_run(run_dir))
    parts: list[object] = [Text(headlines.headline(results)), Text("")]
    if results.run.progress:
        parts.insert(0, Text(f"Unfinished: {results.run.progress}.", style="yellow"))
    warnings = budgets.warnings(results.reached_models)
    parts += [Text(f"Budgets differ: {warning}.", style="yellow") for warning in warnings]
    parts += [Text(f"{caution}.", style="yellow") for caution in held_out_copies.copy_cautions(results)]
    parts += _scoreboard(results)
    parts += _owners(results)
    parts += _findings(results)
    parts.append(_where(results.run.path))
    return Group(*parts)  # type: ignore[arg-type]


def sweep_summary(folder: Path | str) -> "Group":
    """What a sweep found, as one table over settings and points, for ``rich.console.Console.print``.

    Raises:
        InputError: no folder of a sweep, or tables of another version.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    sweep = open_sweep(folder)
    scores, lines = sweep_sections.comparison(sweep)
    parts: list[object] = [Text(headlines.sweep_headline(sweep)), Text("")]
    if lines and scores:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=WIDTH)
        for short in sweep.parameters.values():
            table.add_column(Text(short), no_wrap=True, overflow="ellipsis", max_width=14)
        table.add_column("Setting", overflow="ellipsis", no_wrap=True, ratio=1, min_width=16)
        shown = [i for i, score in enumerate(scores) if score.swept_short]
        for i in shown:
            table.add_column(scores[i].swept_short, justify="right", no_wrap=True)
        for line in lines:
            cells = [(line.cells[i][0].text, "bold" if line.cells[i][1] else "") for i in shown]
            values = map(Text, line.values)
            table.add_row(*values, Text(line.trial.row.label), *(Text(text, style) for text, style in cells))
        parts += [table, Text(""), Text("Bold: the best of its setting. any: the same whatever the parameter.")]
    else:
        parts.append(Text("No final model was measured yet."))
    parts += [Text(f"Diverged: {point.diverged}", style="red") for point in sweep.points if point.diverged]
    return Group(*parts, _where(sweep.run.path))  # type: ignore[arg-type]


def summary(folder: Path | str) -> dict[str, Any]:
    """What `summary_table` and `sweep_summary` show, as plain values for programs.

    Returns:
        ``folder``; ``report``, null until it is written; ``headline``; ``settings``, each with its label as
        ``setting``, of a sweep the ``values`` of its point, and its scores by name (`raysim.analysis.scores`), null
        where there is none; of a run ``findings``, rows of that table.

    Raises:
        InputError: no folder of either, or tables of another version.
    """
    folder = Path(folder)
    report = str(folder / "report.html") if (folder / "report.html").exists() else None
    found: dict[str, Any] = {"folder": str(folder), "report": report}
    if is_sweep(folder):
        sweep = open_sweep(folder)
        scores, lines = sweep_sections.comparison(sweep)
        names = sweep.parameters.values()
        settings = [
            _scores(line.trial.row, scores) | {"values": dict(zip(names, line.values, strict=True))} for line in lines
        ]
        return found | {"headline": headlines.sweep_headline(sweep), "settings": settings}
    results = RunResults(open_run(folder))
    scores, rows = sections.scoreboard(results)
    findings = [
        {name: _finite(value) for name, value in row.items()} for row in results.run.table("findings").to_pylist()
    ]
    settings = [_scores(row, scores) for row, _ in rows]
    return found | {"headline": headlines.headline(results), "settings": settings, "findings": findings}


def _scores(row: Row, scores: Sequence[Score]) -> dict[str, Any]:
    return {"setting": row.label, **{score.name: _finite(row.mean(score.name)) for score in scores}}


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _where(run_dir: Path) -> object:
    """Where the report is; in one piece, so that it can be copied, however narrow the terminal is."""
    from rich.text import Text

    report = run_dir / "report.html"
    where = str(report) if report.exists() else f"not written yet; raysim report {run_dir} writes it"
    return Text(f"Report: {where}", overflow="ignore", no_wrap=True)


def _scoreboard(results: RunResults) -> list[object]:
    from rich.table import Table
    from rich.text import Text

    scores, rows = sections.scoreboard(results)
    if not rows or not scores:
        return [Text("No final model was measured yet."), Text("")]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", width=WIDTH)
    table.add_column("Setting", overflow="ellipsis", no_wrap=True, ratio=1)
    shown = [i for i, score in enumerate(scores) if score.short]
    for i in shown:
        table.add_column(scores[i].short, justify="right", no_wrap=True)
    for row, cells in rows:
        table.add_row(Text(row.label), *(Text(cells[i].text) for i in shown))
    return [table, Text("")]


def _findings(results: RunResults) -> list[object]:
    """The findings that have a number, each with what could overturn it; as the table has them."""
    from rich.text import Text

    lines: list[object] = []
    for row in results.run.table("findings").to_pylist():
        if row["arm"] or row["value"] is None:
            continue
        lines.append(Text(f"{row['finding']} {row['verdict']}: {_measured(row)}"))
        if row["confound"]:
            lines.append(Text(f"   could overturn it: {row['confound']}", style="dim"))
    return [*lines, Text("")] if lines else []


def _measured(row: Mapping[str, Any]) -> str:
    interval = "no interval" if row["low"] is None else f"95 %: {row['low']:+.3f} to {row['high']:+.3f}"
    seeds = f"{row['seeds']} seed{'s' * (row['seeds'] != 1)}"
    return f"{row['value']:+.3f} {row['unit']}, {interval}; {seeds}".replace("-", "−")


def _owners(results: RunResults) -> list[object]:
    from rich.table import Table
    from rich.text import Text

    rows = sections.owner_matrix(results)
    if not rows:
        return [Text(sections.why_no_owners(results)), Text("")]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=WIDTH)
    table.add_column("Covered lines per eligible prompt, by owner", overflow="ellipsis", no_wrap=True, ratio=1)
    for owner in results.organizations:
        table.add_column(Text(owner), justify="right", no_wrap=True, max_width=16, overflow="ellipsis")
    for row, cells in rows:
        table.add_row(Text(row.label), *(Text(cell) for cell in cells))
    return [table, Text(_OWNERS), Text("")]
