"""The report of a sweep: its table, and what its page shows."""

import json
from collections.abc import Sequence
from pathlib import Path

from raysim.analysis.advice import OwnChoice, advice, advice_table, margin_of, own_choices
from raysim.analysis.front import Choice, choices, compares_mitigations, front_table
from raysim.analysis.sweep import SweepResults, open_sweep
from raysim.report import headlines
from raysim.report.figures.front import front_figure
from raysim.report.figures.sweep import figure_name, sweep_figures
from raysim.report.page import render_page, write_page
from raysim.report.sections import sweep as sweep_sections
from raysim.report.sections.front import front_lines, unconcerned
from raysim.tables.io import TABLES, write_table


def write_sweep_page(folder: Path | str) -> Path:
    """Writes ``report.html``, and the tables that it shows, into a sweep's folder, from its points' results.

    Raises:
        InputError: no folder of a sweep, or tables of another version.
        DamagedEntry: a table that cannot be read.
    """
    sweep = open_sweep(folder)
    write_table(sweep.run.path, "sweep", sweep.table())
    found = choices(sweep) if compares_mitigations(sweep) else []
    owners = own_choices(sweep, found)
    if compares_mitigations(sweep):
        write_table(sweep.run.path, "front", front_table(found))
        write_table(sweep.run.path, "front_owners", advice_table(owners))
    return write_page(sweep.run.path, render(sweep, found, owners))


def render(sweep: SweepResults, found: Sequence[Choice] = (), owners: Sequence[OwnChoice] = ()) -> str:
    """The page of a sweep, as text.

    Args:
        sweep: whose page it is.
        found: choices under mitigations, where it compares them.
        owners: the same as each organization sees them.
    """
    scores, lines = sweep_sections.comparison(sweep)
    mitigated = compares_mitigations(sweep)
    front = front_figure(found)
    drawn = ({front.name: front} if front else {}) if mitigated else sweep_figures(sweep)
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
        mitigated=mitigated,
        front=front_lines(found),
        unconcerned=unconcerned(found),
        any_names=any(choice.renamed is not None for choice in found),
        advice=advice(owners),
        margin=margin_of(sweep),
        scores=scores,
        lines=lines,
        points=sweep_sections.points(sweep),
        min_lines=sweep.run.setting("measure", "memorization", "min_lines") or 6,
        table=TABLES["sweep"],
    )
