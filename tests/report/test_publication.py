"""What is published says nothing of folders, users and hosts, and shows code of those alone who agreed."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from run_tables import Options, build

from raysim.report.publication import public_log, public_manifest, public_table, without_paths
from raysim.tables.io import schema, write_table
from raysim.tables.results import Results, open_run


def agreeing(folder: Path, *names: str) -> Results:
    """A run of meta, microsoft and google, of which those named show their code."""
    build(folder, Options(prompts=2, files=2))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiment"]["organizations"] = {
        name: {"agreement": {"share": "data", "evidence": name in names}} for name in ("meta", "microsoft", "google")
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return open_run(folder)


@pytest.mark.parametrize(
    ("path", "published"),
    [
        ("/home/ada/code/acme", "acme"),
        ("~ada/code/acme", "acme"),
        ("~/acme", "acme"),
        ("../../ada/acme/*.jsonl", "*.jsonl"),
        ("C:\\Users\\ada\\acme", "acme"),
        ("./code/acme", "./code/acme"),
        ("code/**/*.py", "code/**/*.py"),
        ("\n//", "\n//"),
        ("//", "//"),
        ("org/model", "org/model"),
    ],
)
def test_of_a_path_that_leads_elsewhere_the_last_part_stays(path: str, published: str) -> None:
    assert without_paths({"a": [path], "b": 3, "c": None}) == {"a": [published], "b": 3, "c": None}


def test_a_manifest_keeps_what_the_report_needs() -> None:
    manifest: dict[str, Any] = {
        "name": "x",
        "base": "/home/ada",
        "store": "../store",
        "command": "raysim run /home/ada/x.yaml",
        "hash": "h",
        "torch": "2.13.0",
        "machine": {"system": "Linux", "cores": 2, "host": "ada-laptop"},
        "experiment": {"execution": {"private": "/home/ada/p", "slots": 2}},
        "anything": "new",
    }
    assert public_manifest(manifest) == {
        "name": "x",
        "hash": "h",
        "torch": "2.13.0",
        "machine": {"system": "Linux", "cores": 2},
        "experiment": {"execution": {"private": None, "slots": 2}},
        "base": ".",
        "command": "raysim run experiment.yaml",
    }
    assert public_manifest(public_manifest(manifest)) == public_manifest(manifest)


def test_log_lines_are_those_that_the_report_reads(tmp_path: Path) -> None:
    run = Results(tmp_path, {}, ({"key": "k", "kind": "train", "seconds": 2.0, "session": "s", "node": "n"},))
    assert public_log(run) == [{"key": "k", "kind": "train", "seconds": 2.0}]


def test_lines_are_shown_of_those_who_agreed(tmp_path: Path) -> None:
    matches = agreeing(tmp_path / "run", "meta", "google")
    texts: dict[str, set[bool]] = {}
    for row in public_table(matches, "matches").to_pylist():
        texts.setdefault(row["owner"], set()).add(row["text"] is None)
    assert texts == {"meta": {False}, "google": {False}, "microsoft": {True}}
    assert public_table(matches, "samples") is matches.table("samples")


def test_without_agreements_nothing_is_shown(run: Path) -> None:
    matches = public_table(open_run(run), "matches")
    assert matches.num_rows
    assert matches.column("text").null_count == matches.num_rows
    assert matches.drop(["text"]).equals(open_run(run).matches.drop(["text"]))


def test_lines_that_somebody_else_owns_too_need_both_agreements(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = agreeing(folder, "meta")
    row = next(row for row in run.matches.to_pylist() if row["owner"] == "meta")
    both = [row, {**row, "owner": "google", "lines": row["lines"] - 1}, {**row, "sample": 9}]
    write_table(folder, "matches", pa.Table.from_pylist(both, schema("matches")))
    published = public_table(open_run(folder), "matches").to_pylist()
    shown = [(row["owner"], row["sample"], row["text"] is not None) for row in published]
    assert sorted(shown) == sorted(
        [("meta", row["sample"], False), ("google", row["sample"], False), ("meta", 9, True)]
    )
