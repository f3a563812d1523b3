"""`raysim tables` and `raysim compare` on run folders."""

import csv
import json
from pathlib import Path

import pytest
from drive import raysim
from run_tables import Options, build


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tables") / "run", Options(files=12, prompts=12))


def test_tables_are_listed_and_written(run_folder: Path, tmp_path: Path) -> None:
    ended = raysim("tables", run_folder, "--json")
    assert ended.returncode == 0, ended.stderr
    rows = {row["table"]: row["rows"] for row in json.loads(ended.stdout)}
    assert rows["models"] > 50
    ended = raysim("tables", run_folder, "--csv", tmp_path / "csv", "--latex", tmp_path / "tex", "--only", "corpora")
    assert ended.returncode == 0, ended.stderr
    assert "Wrote 2 files" in ended.stdout
    with (tmp_path / "csv/corpora.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == rows["corpora"] + 1
    assert r"\begin{tabular}" in (tmp_path / "tex/corpora.tex").read_text(encoding="utf-8")


def test_a_table_that_is_not_there(run_folder: Path, tmp_path: Path) -> None:
    ended = raysim("tables", run_folder, "--csv", tmp_path, "--only", "nothing")
    assert ended.returncode == 2
    assert "has no table 'nothing'" in ended.stderr


def test_runs_are_compared(run_folder: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "other", Options(files=12, prompts=12, leak=1.5))
    ended = raysim("compare", run_folder, other, "--json")
    assert ended.returncode == 0, ended.stderr
    rows = json.loads(ended.stdout)
    assert {row["run"] for row in rows} == {str(other)}
    assert {"", "F2", "F3", "F4"} <= {row["finding"] for row in rows}
    shown = raysim("compare", run_folder, other)
    assert shown.returncode == 0
    assert "exclusive" in shown.stdout
    alone = raysim("compare", run_folder)
    assert alone.returncode == 2
    assert "nothing to compare it with" in alone.stderr
