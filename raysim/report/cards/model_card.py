"""The card of a model that is exported: what it was trained on and how, under which agreements, what it gives away.

All of it comes from the tables and the manifest of its run. There is no code in it: not of organizations, and
nothing that models wrote.
"""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from raysim.analysis import budgets, held_out_copies
from raysim.analysis.gains import given_away
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.core.keys import Key
from raysim.report.cards.data_card import FOLDER, write_data_cards
from raysim.report.cards.facts import ABOUT_FIGURES, TEMPLATES, agreement, figures, markdown_table
from raysim.report.methods import methods
from raysim.report.methods.words import listed, number
from raysim.tables.results import open_run

CARD_FILE = "README.md"

_PUBLISHED = ("bits_per_byte", "own_lines", "own_leaking", "extracted", "exposure")
"""Figures that are in the head of the card too, for programs."""


def write_model_card(run_dir: Path, model: Key, target: Path) -> None:
    """Writes the card of a model of a run, and data cards of the organizations that it has seen, into its folder.

    Args:
        run_dir: folder of the run.
        model: whole key.
        target: where the model was exported to.

    Raises:
        InputError: no run folder, or tables of another version.
    """
    results = RunResults(open_run(run_dir))
    (target / CARD_FILE).write_text(model_card(results, model), encoding="utf-8")
    if seen := _seen(results, _reached(results, model)):
        write_data_cards(results, target, seen)


def model_card(results: RunResults, model: Key) -> str:
    """The card, as text of Markdown with a head of YAML."""
    from huggingface_hub import ModelCard, ModelCardData

    reached = _reached(results, model)
    rows = _rows(results, reached)
    titles, texts = figures(rows)
    seen = _seen(results, reached)
    name = f"{results.run.manifest.get('name', 'run')}-{reached.strategy}"
    head = ModelCardData(
        model_name=name,
        library_name="transformers",
        pipeline_tag="text-generation",
        license="other",
        license_name="see-agreements-below",
        tags=["code", "raysim", reached.family],
        eval_results=_evaluations(rows),
    )
    card = ModelCard.from_template(
        head,
        template_path=str(TEMPLATES / "model.md.j2"),
        name=name,
        facts=markdown_table(["", ""], _facts(results, reached)),
        trained_on=markdown_table(
            ["organization", "tokens seen", "share", "data card"],
            [
                [who, tokens, f"{tokens / reached.tokens:.0%}", f"[{who}]({FOLDER}/{who}.md)" if who in seen else ""]
                for who, tokens in reached.tokens_seen.items()
                if tokens
            ],
        ),
        agreements=[(who, markdown_table(["", ""], agreement(results, who))) for who in seen],
        figures=markdown_table(
            ["organization", "took part", *titles],
            [
                [row["organization"], "yes" if row["took_part"] else "no", *text]
                for row, text in zip(rows, texts, strict=True)
            ],
        )
        if titles
        else "",
        about_figures=ABOUT_FIGURES,
        dropped=markdown_table(["organization", "files left out", "bytes"], _dropped(results, seen)),
        biases=_biases(results, reached),
        methods=methods(results, results.run.table("findings").to_pylist()),
    )
    return str(card)


def _reached(results: RunResults, model: Key) -> ReachedModel:
    """The setting and the moment at which the model was reached; the last one, where there are several."""
    return [one for one in results.reached_models if one.model == model][-1]


def _seen(results: RunResults, reached: ReachedModel) -> list[str]:
    """Organizations whose code the model has learnt from; not the public references of a base."""
    return [name for name in results.organizations if reached.tokens_seen.get(name)]


def _rows(results: RunResults, reached: ReachedModel) -> list[dict[str, Any]]:
    """Figures for each organization: of a final model from the table ``summary``, else what was measured on the way."""
    summary = results.run.table("summary").to_pylist()
    known = {row["organization"]: row for row in summary if row["model"] == reached.model}
    return [known.get(name) or _on_the_way(results, reached, name) for name in results.organizations]


def _on_the_way(results: RunResults, reached: ReachedModel, name: str) -> dict[str, Any]:
    lines, prompts, leaking, _ = given_away(results, name, [reached])
    return {
        "organization": name,
        "took_part": name in reached.organizations,
        "bits_per_byte": results.measures(reached.model).get(("bits_per_byte", name)),
        **{"own_lines": lines, "own_prompts": prompts or None, "own_leaking": leaking},
    }


def _facts(results: RunResults, reached: ReachedModel) -> list[tuple[str, str]]:
    manifest = results.run.manifest
    moment = "the end" if reached.final else f"{reached.moment} {reached.index}"
    return [
        ("Run", f"{manifest.get('name', '')}, raysim {manifest.get('raysim', '')}"),
        ("Experiment", str(manifest.get("hash", ""))),
        ("Key", reached.model),
        ("Way of training together", f"{reached.strategy} ({reached.family})"),
        ("Organizations, in their order", reached.order),
        ("Taken at", f"{moment}, seed {reached.seed}"),
        ("Parameters", number(reached.parameters)),
        ("Steps", f"{number(reached.steps)}, of which {number(reached.steps_in_sequence)} one after the other"),
        ("Started from", _base(results)),
    ]


def _base(results: RunResults) -> str:
    model = results.run.setting("model") or {}
    if model.get("pretrained"):
        return f"the checkpoint {Path(str(model['pretrained'])).name}"
    return "a base that was trained on the public references" if model.get("pretrain") else "random weights"


def _dropped(results: RunResults, seen: Sequence[str]) -> list[list[Any]]:
    drops = results.run.table("drops").to_pylist()
    mine = {name: [row for row in drops if row["organization"] == name] for name in seen}
    return [[name, *(sum(row[c] for row in rows) for c in ("files", "bytes"))] for name, rows in mine.items()]


def _biases(results: RunResults, reached: ReachedModel) -> list[str]:
    """What its budget and the data show that a user should reckon with, a sentence each."""
    found = []
    most = max(reached.tokens_seen, key=lambda who: reached.tokens_seen[who], default="")
    if most and reached.tokens_seen[most] * len(reached.organizations) > _UNEVEN * reached.tokens:
        share = reached.tokens_seen[most] / reached.tokens
        found.append(f"Of the tokens that it has seen, {share:.0%} were of {most}.")
    if reached.family in ("incremental", "cyclic") and len(reached.organizations) > 1:
        found.append(f"It was trained on {reached.last} last, and may know it best.")
    absent = [name for name in results.organizations if name not in reached.organizations]
    if absent:
        found.append(f"It has seen nothing of {listed(absent)}.")
    mine = [w for w in budgets.warnings(results.reached_models) if w.startswith(f"{reached.strategy} ")]
    return found + [f"{warning}." for warning in (*mine, *held_out_copies.copy_cautions(results))]


_UNEVEN = 1.2
"""Times an equal share of the tokens, from which on that is worth a sentence."""


def _evaluations(rows: Sequence[dict[str, Any]]) -> list[Any] | None:
    """Figures as the hub has them; it takes none that is no number."""
    from huggingface_hub import EvalResult

    found = [
        EvalResult(
            task_type="text-generation",
            dataset_type=f"raysim-{row['organization']}",
            dataset_name=f"code of {row['organization']}",
            metric_type=name,
            metric_value=row[name],
        )
        for row in rows
        for name in _PUBLISHED
        if row.get(name) is not None and isfinite(row[name])
    ]
    return found or None
