"""The methods paragraph: every number comes from the manifest or a table, and nothing is said of what was not done."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from described import text_of, unchanged, with_experiment
from measured_tables import audited, counted, held_against, recited, solved
from run_tables import Options, build

from raysim.analysis.findings import assess
from raysim.analysis.results import RunResults
from raysim.report.methods import methods_page
from raysim.report.run_page import write_run_page
from raysim.tables.results import open_run

NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)*(?:e[+-]?\d+)?")
OF_THE_METHOD = {"95"}
"""The level of intervals, which is the code's."""


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
