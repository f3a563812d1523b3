"""The report of a run: what its page shows, section by section."""

import json
from pathlib import Path
from typing import Any

from raysim.report import budgets, figures, sections
from raysim.report.findings import FINDINGS, assess
from raysim.report.folder import open_run
from raysim.report.page import render_page, write_page
from raysim.report.summary import Study
from raysim.report.tables import TABLES, write_table


def write_report(run_dir: Path | str) -> Path:
    """Writes ``report.html``, and the tables `contrasts` and `findings` that it shows, into a run folder.

    Raises:
        InputError: no run folder, or tables of another version.
        DamagedEntry: a table that cannot be read.
    """
    study = Study(open_run(run_dir))
    contrasts, findings = assess(study)
    write_table(study.run.path, "contrasts", contrasts)
    write_table(study.run.path, "findings", findings)
    page = render(study, contrasts.to_pylist(), findings.to_pylist())
    return write_page(study.run.path, page)


def render(study: Study, contrasts: list[dict[str, Any]], findings: list[dict[str, Any]]) -> str:
    """The page of a study whose contrasts and findings were taken, as text."""
    drawn = figures.all_figures(study)
    columns, rows = sections.scoreboard(study)
    return render_page(
        "page.html.j2",
        drawn,
        run=study.run,
        manifest=study.run.manifest,
        experiment=json.dumps(study.run.manifest.get("experiment", {}), indent=2, ensure_ascii=False),
        organizations=study.organizations,
        headline=sections.headline(study),
        numbers=sections.key_numbers(study),
        warnings=budgets.warnings(study.points),
        columns=columns,
        rows=rows,
        rarefaction_size=study.rarefaction_size,
        findings=[_with_contrasts(finding, contrasts) for finding in findings],
        evidence=sections.evidence(study),
        num_open=sections.NUM_OPEN,
        budgets=sections.spent(study),
        corpora=study.run.table("corpora").to_pylist(),
        drops=study.run.table("drops").to_pylist(),
        crossings=sections.crossings(study),
        times=sections.times(study),
        min_lines=study.run.setting("measure", "memorization", "min_lines") or 6,
        tables=TABLES,
        anything_measured=not (study.prompts.empty and study.losses.empty),
        memorization=not study.prompts.empty,
    )


def _with_contrasts(finding: dict[str, Any], contrasts: list[dict[str, Any]]) -> dict[str, Any]:
    """A finding with its contrasts by name, for the table below it."""
    names: dict[str, list[dict[str, Any]]] = {}
    for row in contrasts:
        if row["finding"] == finding["finding"]:
            names.setdefault(row["contrast"], []).append(row)
    topic = next(f.topic for f in FINDINGS if f.name == finding["finding"])
    return {**finding, "contrasts": names, "topic": topic, "tone": finding["verdict"].split(" ")[0]}
