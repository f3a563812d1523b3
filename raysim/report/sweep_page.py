"""The report of a sweep: its table, and what its page shows."""

import json
from pathlib import Path

from raysim.analysis.sweep import SweepResults, open_sweep
from raysim.report import headlines
from raysim.report.figures.sweep import figure_name, sweep_figures
from raysim.report.page import render_page, write_page
from raysim.report.sections import sweep as sweep_sections
from raysim.tables.io import TABLES, write_table


def write_sweep_page(folder: Path | str) -> Path:
    """Writes ``report.html``, and the table `sweep` that it shows, into a sweep's folder, from its points' results.

    Raises:
        InputError: no folder of a sweep, or tables of another version.
        DamagedEntry: a table that cannot be read.
    """
    sweep = open_sweep(folder)
    write_table(sweep.run.path, "sweep", sweep.table())
    return write_page(sweep.run.path, render(sweep))


def render(sweep: SweepResults) -> str:
    """The page of a sweep, as text."""
    scores, lines = sweep_sections.comparison(sweep)
    drawn = sweep_figures(sweep)
    along = [(path, figure_name(sweep, path)) for path in sweep.parameters]
    return render_page(
        "sweep.html.j2",
        drawn,
        run=sweep.run,
        manifest=sweep.run.manifest,
        experiment=json.dumps(sweep.run.manifest.get("experiment", {}), indent=2, ensure_ascii=False),
        headline=headlines.sweep_headline(sweep),
        numbers=headlines.sweep_numbers(sweep),
        parameters=sweep.parameters,
        along=[(path, name) for path, name in along if name in drawn],
        scores=scores,
        lines=lines,
        points=sweep_sections.points(sweep),
        min_lines=sweep.run.setting("measure", "memorization", "min_lines") or 6,
        table=TABLES["sweep"],
    )
