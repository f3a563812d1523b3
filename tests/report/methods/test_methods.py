"""The methods paragraph: every number comes from the manifest or a table, and nothing is said of what was not done."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from measured_tables import audited, counted, held_against, recited, solved
from run_tables import Options, build

from raysim.analysis.findings import assess
from raysim.analysis.results import RunResults
from raysim.experiment.config import load_experiment
from raysim.report.methods import methods, methods_page
from raysim.report.run_page import write_run_page
from raysim.tables.results import open_run

NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)*(?:e[+-]?\d+)?")
OF_THE_METHOD = {"95"}
"""The level of intervals, which is the code's."""

SHIPPED = {"packages": ["torch"], "path": None, "files": None, "hub": None, "stdlib": False, "other": None}


def text_of(results: RunResults) -> str:
    return " ".join(methods(results, assess(results)[1].to_pylist()))


def with_experiment(folder: Path, change: Callable[[dict[str, Any]], None], **options: Any) -> RunResults:
    """A run whose manifest has every setting of the study's experiment, as a change leaves it."""
    build(folder, Options(**options))
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    root = Path(__file__).parents[3]
    manifest["experiment"] = load_experiment(root / "experiments/paper.yaml", ()).experiment.model_dump(mode="json")
    manifest["experiment"]["organizations"] = {
        name: {"source": SHIPPED, "limit": None, "held_out": None} for name in manifest["organizations"]
    }
    manifest |= {"packages": {"torch": "2.13.7"}, "content": {"organizations": {"meta": ["3f2a", "77b1"]}}}
    change(manifest["experiment"])
    path.write_text(json.dumps(manifest))
    return RunResults(open_run(folder))


def unchanged(experiment: dict[str, Any]) -> None:
    del experiment


def numbers_in(value: Any) -> Iterator[str]:
    """All numbers of JSON, those within text and in names too, as they are written."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers_in(name)
            yield from numbers_in(inner)
    elif isinstance(value, list):
        yield str(len(value))
        for inner in value:
            yield from numbers_in(inner)
    elif isinstance(value, str):
        yield from NUMBER.findall(value)
    elif value is not None and not isinstance(value, bool):
        yield f"{value:g}" if isinstance(value, float) else str(value)


def known_numbers(results: RunResults) -> set[str]:
    """Of the manifest, of corpora, of sums over drops, of models, and declared margins."""
    run = results.run
    known = set(numbers_in(run.manifest)) | {str(len(run.organizations))}
    for row in run.table("corpora").to_pylist():
        known |= set(numbers_in(row))
    drops: dict[str, int] = {}
    for row in run.table("drops").to_pylist():
        drops[row["reason"]] = drops.get(row["reason"], 0) + row["files"]
    known |= set(numbers_in(drops))
    models = run.table("models").to_pylist()
    known |= {str(row["parameters"]) for row in models} | {str(len({r["model"] for r in models if r["final"]}))}
    return known | {f"{row['margin']:g}" for row in assess(results)[1].to_pylist() if row["margin"] is not None}


@pytest.mark.parametrize("everything", [False, True])
def test_every_number_is_of_the_manifest_or_a_table(tmp_path: Path, everything: bool) -> None:
    results = with_experiment(tmp_path / "run", unchanged, seeds=(1, 2, 3, 4, 5) if everything else (1,), files=12)
    if everything:
        solved(counted(held_against(audited(results.run.path))))
        results = recited(results.run.path)
    text = text_of(results)
    found = {number.replace(",", "").rstrip(".") for number in NUMBER.findall(text)}
    assert len(found) > 20
    assert found - OF_THE_METHOD - known_numbers(results) == set()


def test_a_number_of_nowhere_would_be_found(tmp_path: Path) -> None:
    results = with_experiment(tmp_path / "run", unchanged)
    assert "4711" not in known_numbers(results)
    assert NUMBER.findall("in 4,711 runs, 0.5 of 1e-08") == ["4,711", "0.5", "1e-08"]


def test_what_the_study_does_is_said(tmp_path: Path) -> None:
    text = text_of(with_experiment(tmp_path / "run", unchanged))
    for sentence in (
        "3 organizations took part: meta (installed Python packages: torch 2.13.7; training split: 12 files, 40,000"
        " bytes, 14,400 tokens; validation split: 3 files, 10,000 bytes, 3,600 tokens; content 3f2a and 77b1);",
        "files with fewer than 5 equals signs",
        "left out, over all organizations, by reason: duplicate of another file: 15; fewer than 5 assignments: 27.",
        "Files were split by hash (seed 1), in shares of 0.8 for training and 0.2 for validation.",
        "A byte-pair tokenizer of at most 32,768 tokens was trained on the references.",
        "with 1,182,336 trainable parameters; dropout 0.1.",
        "Training by adamw: 10 epochs, sequences of 1,024 tokens, batches of 2, peak learning rate 0.0005",
        "fedyogi (rounds: 10; local_epochs: 1)",
        "Training was done under seed 1.",
        "models answered at most 1,000 function prompts of each organization (5 samples each,",
        "Software: raysim 0.1.0, ray 2.60.0, torch 2.13.0 and transformers 5.23.0.",
    ):
        assert sentence in text


ABSENT = {
    "canaries": lambda e: e.update(canaries=None),
    "planted": lambda e: e.update(plants=None),
    "Lines that also occur": lambda e: e.update(references=[]),
    "dropout": lambda e: e["model"].update(dropout=None),
    "Jaccard": lambda e: e["preparation"].update(near_dedup=False),
    "low-rank": lambda e: e["model"].update(lora=None),
    "first trained": lambda e: e["model"].update(pretrain=None),
    "ranks": lambda e: e["trainer"].update(ranks=1),
    "several organizations hold": lambda e: e["deduplication"].update(across="keep"),
}
PRESENT = {
    "canaries": lambda e: e.update(canaries={"count": 3, "repeats": [0, 9], "length": 12}),
    "planted": lambda e: e.update(plants={"functions": {"0": 4}, "variant": "exact", "organizations": ["meta"]}),
    "Lines that also occur": lambda e: e.update(references=["stdlib"]),
    "dropout": lambda e: e["model"].update(dropout=0.3),
    "Jaccard": lambda e: e["preparation"].update(near_dedup=True),
    "low-rank": lambda e: e["model"].update(lora={"rank": 8}),
    "first trained": lambda e: e["model"].update(pretrain={"corpus": "references", "epochs": 7, "seed": 1}),
    "ranks": lambda e: e["trainer"].update(ranks=4),
    "several organizations hold": lambda e: e["deduplication"].update(across="drop_all"),
}


@pytest.mark.parametrize("word", ABSENT)
def test_different_experiments_give_different_sentences(tmp_path: Path, word: str) -> None:
    without = text_of(with_experiment(tmp_path / "without", ABSENT[word]))
    given = text_of(with_experiment(tmp_path / "with", PRESENT[word]))
    assert word not in without
    assert word in given
    rest = set(given.split(". ")) - set(without.split(". "))
    assert len(rest) == 1  # and nothing else has changed


MEASURES = (
    "Effectiveness",
    "Memorization",
    "Extraction",
    "Recital",
    "Exposure",
    "Membership",
    "correctness",
    "uploads",
)


def test_measures_that_were_not_taken_are_not_mentioned(tmp_path: Path) -> None:
    text = text_of(with_experiment(tmp_path / "run", unchanged, memorization=False, perplexity=False))
    assert [word for word in (*MEASURES, "contrasts", "Margins", "95") if word in text] == []
    results = with_experiment(tmp_path / "all", unchanged, files=12)
    solved(counted(held_against(audited(results.run.path))))
    whole = text_of(recited(results.run.path))
    assert [word for word in (*MEASURES, "contrasts", "Margins", "95 %") if word not in whole] == []
    assert "Holm" not in whole  # with one seed nothing is tested


def test_a_manifest_that_says_little_is_no_error(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", Options(prompts=2, files=2))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({"organizations": manifest["organizations"]}))
    assert "Software" not in text_of(RunResults(open_run(folder)))


def test_the_page_and_the_report_have_the_same_paragraphs(tmp_path: Path) -> None:
    results = with_experiment(tmp_path / "run", unchanged, prompts=4)
    page = write_run_page(results.run.path).read_text(encoding="utf-8")
    paragraphs = methods_page(RunResults(open_run(results.run.path))).strip().split("\n\n")[1:]
    assert len(paragraphs) == 3
    for paragraph in paragraphs:
        assert paragraph[:60] in page
