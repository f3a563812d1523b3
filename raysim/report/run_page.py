"""The report of a run: what its page shows, section by section."""

import json
from pathlib import Path
from typing import Any

from raysim.analysis import attribution, budgets, extraction
from raysim.analysis.attacks import attacks_table
from raysim.analysis.findings import FINDINGS, assess
from raysim.analysis.order_effects import effects_table
from raysim.analysis.orders import orders_table
from raysim.analysis.pass_at_k import pass_at_k_table
from raysim.analysis.predictions import predictions_table
from raysim.analysis.results import RunResults
from raysim.report.figures import overview as figures
from raysim.report.page import render_page, write_page
from raysim.report.sections import orders as order_sections
from raysim.report.sections import overview as sections
from raysim.report.sections import pass_at_k as solving_section
from raysim.report.sections import predictions as prediction_section
from raysim.report.sections.exposure import exposure
from raysim.report.sections.membership import inference
from raysim.tables.io import TABLES, write_table
from raysim.tables.results import open_run


def write_run_page(run_dir: Path | str) -> Path:
    """Writes ``report.html``, and the tables that it derives and shows, into a run folder.

    These are `contrasts`, `findings`, `orders`, `order_effects`, `attacks`, `predictions` and `pass_at_k`.

    Raises:
        InputError: no run folder, or tables of another version.
        DamagedEntry: a table that cannot be read.
    """
    results = RunResults(open_run(run_dir))
    contrasts, findings = assess(results)
    derived = {
        "contrasts": contrasts,
        "findings": findings,
        "orders": orders_table(results),
        "order_effects": effects_table(results),
        "attacks": attacks_table(results.run),
        "predictions": predictions_table(results),
        "pass_at_k": pass_at_k_table(results.run),
    }
    for name, table in derived.items():
        write_table(results.run.path, name, table)
    page = render(results, {name: table.to_pylist() for name, table in derived.items()})
    return write_page(results.run.path, page)


def render(results: RunResults, derived: dict[str, list[dict[str, Any]]]) -> str:
    """The page of a study as text, with the rows of the tables derived from it, by name of the table."""
    drawn = figures.all_figures(results)
    columns, rows = sections.scoreboard(results)
    return render_page(
        "page.html.j2",
        drawn,
        run=results.run,
        manifest=results.run.manifest,
        experiment=json.dumps(results.run.manifest.get("experiment", {}), indent=2, ensure_ascii=False),
        organizations=results.organizations,
        headline=sections.headline(results),
        numbers=sections.key_numbers(results),
        warnings=budgets.warnings(results.reached_models),
        columns=columns,
        rows=rows,
        rarefaction_size=results.rarefaction_size,
        findings=[_with_contrasts(finding, derived["contrasts"]) for finding in derived["findings"]],
        order_blocks=order_sections.order_blocks(results, derived["orders"], derived["order_effects"]),
        extraction=extraction.extraction_rows(results),
        lengths=extraction.lengths(results),
        shown_samples=extraction.SHOWN_SAMPLES,
        passages=extraction.num_passages(results),
        place=results.run.setting("measure", "memorization", "extraction", "place"),
        asked=results.run.setting("measure", "memorization", "extraction", "passages"),
        origins=[(row, lines) for row, lines in attribution.origins(results) if lines],
        exposure=exposure(results),
        inference=inference(results, derived["attacks"]),
        predictions=prediction_section.predictions(results, derived["predictions"]),
        prediction_columns=prediction_section.COLUMNS,
        solving=solving_section.solving(results, derived["pass_at_k"]),
        evidence=sections.evidence(results),
        num_open=sections.NUM_OPEN,
        budgets=sections.spent(results),
        corpora=results.run.table("corpora").to_pylist(),
        drops=results.run.table("drops").to_pylist(),
        transfers=sections.transfers(results),
        times=sections.times(results),
        training_speed=sections.training_speed(results),
        min_lines=results.run.setting("measure", "memorization", "min_lines") or 6,
        tables=TABLES,
        anything_measured=_anything(results),
        memorization=not results.prompts.empty,
    )


def _anything(results: RunResults) -> bool:
    """Whether any model was measured."""
    return not (results.prompts.empty and results.losses.empty) or results.run.table("executions").num_rows > 0


def _with_contrasts(finding: dict[str, Any], contrasts: list[dict[str, Any]]) -> dict[str, Any]:
    """A finding with its contrasts by name, for the table below it."""
    names: dict[str, list[dict[str, Any]]] = {}
    for row in contrasts:
        if row["finding"] == finding["finding"]:
            names.setdefault(row["contrast"], []).append(row)
    topic = next(f.topic for f in FINDINGS if f.name == finding["finding"])
    return {**finding, "contrasts": names, "topic": topic, "tone": finding["verdict"].split(" ")[0]}
