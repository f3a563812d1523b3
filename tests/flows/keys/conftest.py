"""Sources of every kind for experiments, and the keys of one of them."""

import json
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign_package import installed_package
from keyed_experiment import RAW, Keys, assembled, keys_of

from raysim.corpus.tokenizer import train_tokenizer
from raysim.simulation.run_context import RunContext


def records() -> list[dict[str, str]]:
    """Files that each step of the preparation has an opinion on; of seven repositories."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    real = [(stdlib / name).read_text(encoding="utf-8") for name in ("bisect.py", "sched.py", "fnmatch.py", "stat.py")]
    instructions = "".join(f"name_{i} = value_{i}\n" for i in range(8))
    loop = f"for value in things:\n    pass\n{instructions}"
    texts = {
        **{f"real{i}": text for i, text in enumerate(real)},
        "copy": real[0].replace("\n", "\n\n"),
        "generated": f"# automatically generated\n{loop}",
        "long_line": f"{loop}wide = '{'x' * 1500}'\n" + "pass\n" * 20,
        "long_lines": "".join(f"while True: wide{i} = '{'y' * 110}'\n" for i in range(6)),
        "few_letters": loop + "#" + "-+*/" * 100,
        "many_tokens": loop + "# " + "漢字" * 100,
        "few_assignments": "def f():\n    return 1\n",
        **{f"test{i}": f"# unit tests {i}\n{loop}" for i in range(6)},
        **{f"plain{i}": f"other{i} = 1\n{instructions}" for i in range(6)},
    }
    return as_records(texts)


def near_copies() -> list[dict[str, str]]:
    """Pairs of 60 words, some of which are others; those that share about half are found by some sketches only."""
    texts = {}
    for number, others in enumerate([4, 5, 6, *[19, 20] * 8]):
        words = [f"word{number}x{i}" for i in range(60)]
        for name, some in (("one", words), ("two", [*words[others:], *(f"new{number}x{i}" for i in range(others))])):
            texts[f"near{number}{name}"] = "for x in y: z = 1\n" + "".join(f"{word} = 1\n" for word in some)
    return as_records(texts)


def as_records(texts: dict[str, str]) -> list[dict[str, str]]:
    return [
        {
            "path": f"{name}.py",
            "repo_name": f"repo{i % 7}",
            "author": f"author{i % 3}",
            "content": text,
            "code": f"{text}\nx = 2\n",
        }
        for i, (name, text) in enumerate(texts.items())
    ]


def write_records(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


CONSTANTS = """
from raysim.core.settings import Settings
from raysim.corpus.files import SourceFile
from raysim.corpus.reading import SourceReading


class ConstantsSettings(Settings):
    count: int


class Constants:
    Settings = ConstantsSettings

    def __init__(self, settings):
        self._count = settings.count

    def read(self, base):
        texts = ["".join(f"while x{i}: x{i} = {j}\\n" for j in range(10)) for i in range(self._count)]
        return SourceReading(tuple(SourceFile(f"{i}.py", t, "constants", None) for i, t in enumerate(texts)), ())
"""


PULL = """
from raysim.core.settings import Settings
from raysim.training.objectives import Objective


class PullSettings(Settings):
    mu: float


class Pull(Objective):
    Settings = PullSettings

    def __init__(self, settings):
        self._mu = settings.mu

    def recipe(self):
        return {"version": 1, "mu": self._mu}
"""


@pytest.fixture(scope="module", autouse=True)
def an_objective(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local objective that another package brings."""
    site = tmp_path_factory.mktemp("site") / "pull"
    with installed_package(site, "pull_objective", PULL, "raysim.objectives", "pull = pull_objective:Pull"):
        yield


@pytest.fixture(scope="module", autouse=True)
def another_source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A source that another package brings."""
    site = tmp_path_factory.mktemp("site") / "constants"
    with installed_package(
        site, "constants_source", CONSTANTS, "raysim.sources", "constants = constants_source:Constants"
    ):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, corpus_folders: dict[str, Path]) -> Path:
    """Sources of every kind."""
    base = tmp_path_factory.mktemp("keys")
    shutil.copytree(corpus_folders["beta"], base / "b")
    shutil.copytree(corpus_folders["gamma"], base / "c")
    rows = records()
    write_records(base / "a.jsonl", rows)
    for number, row in enumerate(rows):
        place = base / "deep" / "top" / f"{number % 2}" / f"{number % 3}" / row["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(row["content"], encoding="utf-8")
    for name, test in (("problems", "assert f()"), ("other_tests", "assert f() == 1")):
        row = {"task_id": "P/0", "prompt": "def f():\n", "entry_point": "f", "test": test}
        write_records(base / f"{name}.jsonl", [row])
    write_records(base / "near.jsonl", near_copies())
    write_records(base / "more.jsonl", [{**row, "path": f"more/{row['path']}", "content": row["code"]} for row in rows])
    headers = [f"# SPDX-License-Identifier: {licence}\n" for licence in ("Apache-2.0", *["MIT"] * 4)]
    licensed = [{**row, "content": headers[i % 5] + row["content"]} for i, row in enumerate(rows)]
    write_records(base / "licensed.jsonl", licensed)
    said = "# jane@roe.org\nurl = 'https://jane:hunter2x@host.org'\n"
    write_records(base / "private.jsonl", [{**row, "content": row["content"] + said} for row in rows])
    code = "import os\nimport sys\n# said\ndef f(p):\n    one = 1\n    two = '2'\n    return p + one == two\n"
    write_records(base / "written.jsonl", [{**row, "content": code + row["content"]} for row in rows])
    for name in ("one", "two"):
        (base / name).mkdir()
        kept = rows if name == "one" else rows[:-4]
        write_records(base / name / "train.jsonl", kept)
        write_records(base / name / "test.jsonl", kept[1:])
        write_records(base / name / "small.jsonl", kept[2:])
        configs = (
            "- {config_name: all, default: true, data_files: [{split: train, path: train.jsonl},"
            " {split: test, path: test.jsonl}]}\n"
            "- {config_name: small, data_files: [{split: train, path: small.jsonl}]}\n"
        )
        (base / name / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    for name, letter in (("checkpoint", b"1"), ("other_checkpoint", b"2")):
        (base / name).mkdir()
        (base / name / "config.json").write_text("{}")
        (base / name / "model.safetensors").write_bytes(letter)
    for name, size in (("one", 300), ("two", 310)):
        texts = [row["content"] for row in rows]
        (base / f"{name}.json").write_text(train_tokenizer(texts, size).json, encoding="utf-8")
    return base


@pytest.fixture
def few_data(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard library of a few files, and no cache of datasets outside this test."""
    from datasets import config

    monkeypatch.setattr("raysim.corpus.sources.sysconfig.get_path", lambda name: str(folder / "b"))
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")


@pytest.fixture(scope="module")
def base_keys(folder: Path) -> Keys:
    keys = keys_of(folder, RAW)
    assert all(found for kind, found in keys.items() if kind != "privacy_audit")  # which needs sequence canaries
    return keys


@pytest.fixture(scope="module")
def context(folder: Path) -> RunContext:
    _, setup, _ = assembled(folder, RAW)
    return setup.strategy_runs[0].context
