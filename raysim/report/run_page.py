"""The report of a run: what its page shows, section by section."""

import json
import pkgutil
from pathlib import Path
from typing import Any

from raysim.analysis import budgets, held_out_copies
from raysim.analysis.attacks import attacks_table
from raysim.analysis.best_checkpoints import best_checkpoints_table
from raysim.analysis.counterfactuals import counterfactuals_table
from raysim.analysis.file_attacks import file_attacks_table
from raysim.analysis.findings import FINDINGS, assess
from raysim.analysis.gains import Gain, gains_table
from raysim.analysis.order_effects import effects_table
from raysim.analysis.orders import orders_table
from raysim.analysis.pass_at_k import pass_at_k_table
from raysim.analysis.predictions import predictions_table
from raysim.analysis.privacy_audits import privacy_audits_table
from raysim.analysis.results import RunResults
from raysim.analysis.summary import summary_table
from raysim.analysis.unlearning import Unlearning, unlearning_table
from raysim.analysis.verdicts import INCOMPARABLE
from raysim.measures.base import Section
from raysim.measures.registry import all_tables, measures
from raysim.report import headlines, who_leaks
from raysim.report.figures import overview as figures
from raysim.report.figures.kit import Figure
from raysim.report.methods import methods
from raysim.report.page import render_page, section_figures, write_page
from raysim.report.sections import (
    adapters,
    checkpoints,
    counterfactuals,
    early_stops,
    file_attacks,
    gains,
    many,
    orders,
    organizations,
    overview,
    participation,
    privacy,
    settings,
    unlearning,
    update_sizes,
    zeros,
)
from raysim.tables.io import write_table
from raysim.tables.results import open_run


def write_run_page(run_dir: Path | str) -> Path:
    """Writes ``report.html``, and the tables that it derives and shows, into a run folder.

    These are `summary`, `gains`, `best_checkpoints`, `counterfactuals`, `unlearning`, `contrasts`, `findings`,
    `orders`, `order_effects`, `attacks`, `file_attacks`, `predictions`, `pass_at_k` and `privacy_audits`.

    Raises:
        InputError: no run folder, or tables of another version.
        DamagedEntry: a table that cannot be read.
    """
    results = RunResults(open_run(run_dir))
    contrasts, findings = assess(results)
    attacks = attacks_table(results.run)
    derived = {
        "summary": summary_table(results, attacks),
        "gains": gains_table(results),
        "counterfactuals": counterfactuals_table(results),
        "unlearning": unlearning_table(results),
        "best_checkpoints": best_checkpoints_table(results),
        "contrasts": contrasts,
        "findings": findings,
        "orders": orders_table(results),
        "order_effects": effects_table(results),
        "attacks": attacks,
        "file_attacks": file_attacks_table(results),
        "predictions": predictions_table(results),
        "pass_at_k": pass_at_k_table(results.run),
        "privacy_audits": privacy_audits_table(results),
    }
    for name, table in derived.items():
        write_table(results.run.path, name, table)
    page = render(results, {name: table.to_pylist() for name, table in derived.items()})
    return write_page(results.run.path, page)


def drawn(results: RunResults) -> dict[str, Figure]:
    """All figures of the page of a run, by name."""
    return {**figures.all_figures(results), **section_figures(measure_sections(results))}


def render(results: RunResults, derived: dict[str, list[dict[str, Any]]]) -> str:
    """The page of a study as text, with the rows of the tables derived from it, by name of the table."""
    return render_page(
        "page.html.j2",
        figures.all_figures(results),
        sorted((*own_sections(results, derived), *measure_sections(results)), key=lambda section: section.place),
        run=results.run,
        manifest=results.run.manifest,
        organizations=results.organizations,
        headline=headlines.headline(results),
        glosses=settings.settings_said(results),
        warnings=budgets.warnings(results.reached_models),
        copy_cautions=held_out_copies.copy_cautions(results),
        findings=[_with_contrasts(finding, derived) for finding in derived["findings"] if not finding["arm"]],
        min_lines=results.run.setting("measure", "memorization", "min_lines") or 6,
        sentences=headlines.holds_prose(results),
        anything_measured=_anything(results),
        memorization=not results.prompts.empty,
    )


def own_sections(results: RunResults, derived: dict[str, list[dict[str, Any]]]) -> list[Section]:
    """The sections that every report has, whatever was measured."""
    scores, rows = overview.scoreboard(results)
    blocks = orders.order_blocks(results, derived["orders"], derived["order_effects"])
    experiment = json.dumps(results.run.manifest.get("experiment", {}), indent=2, ensure_ascii=False)
    found = [Gain(**row) for row in derived["gains"]]
    shown, less = many.extremes(found), zeros.trained_less(results)
    rows_shown = [row for row in gains.gain_rows(found, less) if row.organization in shown]
    table = {"rows": rows_shown, "settings": gains.settings_of(found)}
    crowd = many.are_many(results)
    table |= {"others": len({gain.organization for gain in found} - shown)}
    quoted = {"seeds": max((g.seeds for g in found), default=0), "on_test": any(g.on_test for g in found)}
    evidence = overview.evidence(results)[overview.NUM_OPEN :]
    board = {"rarefaction_size": results.rarefaction_size, "numbers": headlines.key_numbers(results)}
    corpora, drops = (results.run.table(name).to_pylist() for name in ("corpora", "drops"))
    shared = bool(results.run.manifest.get("shared_actors"))
    memorized = counterfactuals.section(results, derived["counterfactuals"])
    forgotten = unlearning.section([Unlearning(**row) for row in derived["unlearning"]])
    attacked, averaged = file_attacks.section(results, derived["file_attacks"]), adapters.section(results)
    of_rounds = [one.section(results) for one in (update_sizes, participation, early_stops)]
    of_rounds.append(privacy.section(results, derived["privacy_audits"]))
    return [
        *(section for section in (memorized, forgotten, attacked, averaged, *of_rounds) if section is not None),
        _front(
            10,
            "gains",
            **table,
            spread=many.gain_spread(found) if crowd else [],
            answer=gains.who_gains(found),
            **quoted,
            **_leakage(results),
            less=less,
        ),
        _front(20, "frontier", at_zero=zeros.at_zero(results)),
        _front(30, "findings"),
        _front(50, "organizations", **table, facts=organizations.facts(results, found, shown)),
        _own(100, "scoreboard", "Scoreboard", scores=scores, rows=rows, **board),
        _own(400, "order", "The order", order_blocks=blocks, best_order=headlines.best_order),
        _own(500, "along", "Along the way", best=checkpoints.best_beside_last(derived["best_checkpoints"])),
        _own(2100, "evidence", "Evidence", evidence=evidence),
        _own(2200, "budgets", "Budgets", budgets=overview.spent(results), seen=overview.seen_of(results)),
        _own(
            2300,
            "data",
            "Data",
            corpora=corpora,
            spread=many.corpora_spread(corpora) if crowd else [],
            drops=many.drops_by_reason(drops) if crowd else drops,
        ),
        _own(2400, "boundary", "Boundary", transfers=overview.transfers(results), shared=shared),
        _own(2500, "time", "Time", times=overview.times(results), training_speed=overview.training_speed(results)),
        _own(2550, "methods", "Methods, to quote", paragraphs=methods(results, derived["findings"])),
        _own(2600, "read", "How to read it"),
        _own(2700, "reproduce", "Reproduce", experiment=experiment, tables=all_tables()),
    ]


def measure_sections(results: RunResults) -> list[Section]:
    """The sections of the installed measures."""
    found: list[Section | None] = []
    for measure in measures().values():
        found += [pkgutil.resolve_name(name)(results) for name in measure.report]
        found.append(measure.section(results.run))
    return [section for section in found if section is not None]


def _front(place: int, anchor: str, **values: Any) -> Section:
    return Section(anchor, anchor.capitalize(), "", place, template=f"{anchor}.html.j2", values=values, front=True)


def _own(place: int, anchor: str, contents: str, **values: Any) -> Section:
    return Section(anchor, contents, contents, place, template=f"{anchor}.html.j2", values=values)


def _anything(results: RunResults) -> bool:
    """Whether any model was measured."""
    return not (results.prompts.empty and results.losses.empty) or results.run.table("executions").num_rows > 0


def _leakage(results: RunResults) -> dict[str, str]:
    """Which setting gives away most, in a sentence, and why other numbers of the page differ from it."""
    leaks = who_leaks.leaks_of(results.final_rows())
    none_given = zeros.none_given(results)
    return {"leaks": who_leaks.who_leaks(leaks, none_given), "differs": who_leaks.differs_in_tables(leaks)}


def _with_contrasts(finding: dict[str, Any], derived: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A finding with the verdicts on its arms, and with its contrasts by name and arm, for the tables below it."""
    names: dict[str, list[dict[str, Any]]] = {}
    for row in derived["contrasts"]:
        if row["finding"] == finding["finding"]:
            names.setdefault(f"{row['contrast']}: {row['arm']}".removesuffix(": "), []).append(row)
    arms = [row for row in derived["findings"] if row["finding"] == finding["finding"] and row["arm"]]
    topic = next(f.topic for f in FINDINGS if f.name == finding["finding"])
    return {
        **finding,
        "arms": arms,
        "contrasts": names,
        "topic": topic,
        "card": finding["value"] is not None or finding["verdict"] == INCOMPARABLE,
        "tone": finding["verdict"].split(" ")[0].rstrip(":"),
    }
