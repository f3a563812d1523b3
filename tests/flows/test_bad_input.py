"""Whatever is wrong with the input ends before any training, with one readable error and exit code 2."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import raysim

Edit = Callable[[dict[str, Any], Path], None]


def _set(**changes: Any) -> Edit:
    return lambda raw, folder: raw.update(changes)


def _empty_folder(raw: dict[str, Any], folder: Path) -> None:
    (folder / "empty").mkdir()
    raw["organizations"]["alpha"]["source"] = {"path": "empty"}


def _short(raw: dict[str, Any], folder: Path) -> None:
    (folder / "short").mkdir()
    for name in ("a.py", "b.py"):
        (folder / "short" / name).write_text(f"def {name[0]}():\n    return 1\n")
    raw["organizations"]["alpha"]["source"] = {"path": "short"}


def _closed(raw: dict[str, Any], folder: Path) -> None:
    raw["organizations"]["beta"]["agreement"] = {"share": "weights"}
    raw["tokenizer"] = {"train": {"corpus": "references", "vocab_size": 300}}


CASES: dict[str, tuple[Edit, list[str]]] = {
    "unknown key": (_set(epochs=3), ["epochs", "unknown key"]),
    "unknown nested key": (lambda raw, _: raw["trainer"].update(epoch=3), ["trainer.epoch", "unknown key", "epochs"]),
    "wrong type": (lambda raw, _: raw["trainer"].update(epochs="many"), ["trainer.epochs", "'many'"]),
    "weight of leakage below zero": (_set(report={"leakage_weight": -1}), ["report.leakage_weight", "-1"]),
    "missing folder": (
        lambda raw, _: raw["organizations"]["alpha"].update(source={"path": "nowhere"}),
        ["organizations.alpha", "nowhere"],
    ),
    "missing package": (
        lambda raw, _: raw["organizations"]["alpha"].update(source={"packages": ["no-such-package"]}),
        ["organizations.alpha", "no-such-package"],
    ),
    "empty corpus after filters": (_empty_folder, ["organizations.alpha", "it holds no files"]),
    "corpus shorter than one sequence": (_short, ["organizations.alpha", "64"]),
    "unknown organization in an order": (
        _set(strategies=[{"incremental": {"orders": [["alpha", "delta"]]}}]),
        ["incremental.orders", "'delta'", "alpha, beta, gamma"],
    ),
    "unknown strategy": (_set(strategies=["fedsgd"]), ["strategies[0]", "'fedsgd'", "fedavg"]),
    "setting of a strategy": (_set(strategies=[{"fedavg": {"round": 2}}]), ["fedavg", "round", "rounds"]),
    "strategy named twice": (_set(strategies=["single", "single"]), ["strategies[1]", "'single'", "label"]),
    "centralized without share: data": (_closed, ["centralized", "beta", "share: data"]),
    "tokenizer on organizations that do not share": (
        lambda raw, _: raw["organizations"]["beta"].update(agreement={"share": "weights"}),
        ["organizations.beta.agreement.share", "tokenizer"],
    ),
    "unknown model": (_set(model={"config": {"model_type": "gpt9"}}), ["model", "gpt9"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_readable_error(case: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    edit, words = CASES[case]
    path = tiny()
    raw = yaml.safe_load(path.read_text())
    edit(raw, tmp_path)
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert all(word in ended.stderr for word in words), ended.stderr
    assert not (tmp_path / "out" / "stages.jsonl").exists() or not (tmp_path / "out" / "stages.jsonl").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [unclosed", ["line", "not valid YAML"]),
        ("name: a\norganizations:\n  a: {}\n  a: {}\n", ["line 4", "'a' is named twice"]),
        ("- just\n- a list\n", ["expected a mapping"]),
        ("", ["expected a mapping"]),
        ("name: " + "[" * 5000, ["line 1, column", "nested too deeply"]),
        (
            "a0: &a0 {x: 1}\n" + "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n}, ' * 9}]\n" for n in range(9)),
            ["line 6", "aliases repeat more than"],
        ),
    ],
    ids=["unclosed", "named twice", "a list", "empty", "brackets", "aliases"],
)
def test_broken_yaml(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    ended = raysim("plan", path, timeout=60)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr) < 1000
    assert all(word in ended.stderr for word in words), ended.stderr


def test_bad_override(tiny: Callable[..., Path]) -> None:
    ended = raysim("plan", tiny(), "--set", "trainer.epochs")
    assert (ended.returncode, "expected name=value" in ended.stderr) == (2, True)


def test_no_cluster_at_the_address(tiny: Callable[..., Path], tmp_path: Path) -> None:
    ended = raysim("run", tiny(), "--out", tmp_path / "out", "--address", "127.0.0.1:1")
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "127.0.0.1:1" in ended.stderr


def test_unreadable_files_are_counted(
    tiny: Callable[..., Path], tmp_path: Path, corpus_folders: dict[str, Path]
) -> None:
    import json
    import shutil

    shutil.copytree(corpus_folders["alpha"], tmp_path / "mixed")
    (tmp_path / "mixed" / "latin.py").write_bytes("name = 'é'\n".encode("latin-1"))
    path = tiny()
    raw = yaml.safe_load(path.read_text())
    raw["organizations"]["alpha"]["source"] = {"path": "mixed"}
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    ended = raysim("inspect", path, "--json")
    assert ended.returncode == 0, ended.stderr
    drops = json.loads(ended.stdout)["organizations"]["alpha"]["drops"]
    assert {"reason": "not UTF-8", "files": 1, "bytes": 11} in drops
