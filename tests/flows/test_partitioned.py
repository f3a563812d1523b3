"""Organizations made of one data set, from end to end, beside ordinary organizations with the same files."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from drive import raysim
from splits import splitting_seed

from raysim.core.settings import validate
from raysim.corpus.partition import PartitionSettings, divide
from raysim.corpus.sources import SourceSettings, read_source
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

PARTITION: dict[str, Any] = {"by": {"dirichlet": {"column": "repository", "alpha": 2.0}}, "parts": 3, "min_files": 4}
NAMES = ["part-00", "part-01", "part-02"]


@dataclass(frozen=True)
class Ran:
    """A finished run of three parts of a folder.

    Attributes:
        experiment: its file.
        out: its folder.
        num_files: of the source.
        dealt: an experiment with a folder for each part, of files that are dealt beforehand.
    """

    experiment: Path
    out: Path
    num_files: int
    dealt: Path


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_writer: Callable[[Path], Callable[..., Path]],
    corpus_folders: dict[str, Path],
) -> Ran:
    base = tmp_path_factory.mktemp("partitioned")
    for name, folder in corpus_folders.items():
        shutil.copytree(folder, base / "code" / name)
    files = read_source(SourceSettings(path="code"), base).files
    (base / "code" / "notes.txt").write_text("no code")
    folders = {name: base / name for name in NAMES}
    parts = divide(files, validate(PartitionSettings, PARTITION, ""))
    for folder, found in zip(folders.values(), parts.values(), strict=True):
        for file in found:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(base / "code" / file.path, folder / file.path)
    others: dict[str, Any] = {
        "split_seed": splitting_seed(folders),
        "strategies": [{"fedavg": {"rounds": 2}}],
        "references": [],
        "measure": {"perplexity": {}, "baselines": None},
    }
    agreed = {"agreement": {"share": "data"}}
    entry = {"source": {"path": "code"}, "partition": PARTITION, **agreed}
    write = tiny_writer(base)
    experiment = write("parted", organizations={"part": entry}, **others)
    dealt = write("dealt", organizations={name: {"source": {"path": name}, **agreed} for name in NAMES}, **others)
    ended = raysim("run", experiment, "--out", base / "out")
    assert ended.returncode == 0, ended.stderr
    return Ran(experiment, base / "out", len(files), dealt)


def test_every_file_is_at_one_part_and_every_drop_is_told_once(ran: Ran) -> None:
    inspected = json.loads(raysim("inspect", ran.experiment, "--json").stdout)["organizations"]
    assert list(inspected) == NAMES
    found = read_table(ran.out, "corpora").to_pylist()
    kept = [sum(row["files"] for row in found if row["organization"] == name) for name in NAMES]
    assert len(set(kept)) > 1
    drops = [(row["organization"], row["reason"], row["files"]) for row in read_table(ran.out, "drops").to_pylist()]
    assert sum(kept) + sum(files for _, _, files in drops) == ran.num_files + 1
    assert [drop for drop in drops if "include" in drop[1]] == [("part-00", "not matched by include: .txt", 1)]


def test_parts_are_as_organizations_that_hold_the_same_files(ran: Ran) -> None:
    """All stages of the one are in the store of the other."""
    planned = json.loads(raysim("plan", ran.dealt, "--out", ran.out, "--json").stdout)["strategies"]["fedavg"]
    assert planned["unique"] == planned["cached"] == 6
    trained = [row for row in read_log(ran.out / "stages.jsonl") if row["kind"] == "train"]
    assert len({row["key"] for row in trained}) == 6
    models = read_table(ran.out, "models").to_pylist()
    assert all(model["organizations"] in ([], NAMES) for model in models)
    assert sum(model["organizations"] == NAMES for model in models) == 2


def test_a_run_goes_on_and_is_reported_by_its_manifest(ran: Ran) -> None:
    manifest = json.loads((ran.out / "manifest.json").read_text())
    organizations = manifest["experiment"]["organizations"]
    assert [one["partition"]["part"] for one in organizations.values()] == [0, 1, 2]
    before = len(read_log(ran.out / "stages.jsonl"))
    again = raysim("run", ran.experiment, "--out", ran.out)
    assert again.returncode == 0, again.stderr
    assert all(row["status"] != "computed" for row in read_log(ran.out / "stages.jsonl")[before:])
    assert raysim("report", ran.out).returncode == 0


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("parts=17", "organizations.part-00.partition.by.dirichlet: of 16 files in 17 parts"),
        ("by={column: licence}", "organizations.part-00.partition.by.column: no file has the column licence"),
        ("by.dirichlet.alpha=0", "organizations.part.partition.by.dirichlet.alpha: input should be greater than 0"),
    ],
    ids=["parts", "column", "alpha"],
)
def test_wrong_settings_are_one_line(ran: Ran, tmp_path: Path, override: str, words: str) -> None:
    ended = raysim("run", ran.experiment, "--out", tmp_path, "--set", f"organizations.part.partition.{override}")
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
