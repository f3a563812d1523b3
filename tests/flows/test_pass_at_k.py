"""Solutions from generation to report: the same tables by Ray, and nothing is generated twice."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim
from splits import splitting_seed
from store_runs import kinds

from raysim.corpus.split import SplitSettings, split_of
from raysim.sandbox.sandbox import enough, in_force, protections
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not enough(in_force()), reason=f"this machine contains nothing: {protections()}"),
]

PROBLEMS = {
    "Mine/anything": ("def f(x):\n    return x\n\n\ny = ", "import builtins"),
    "Mine/never": ("def g():\n", "assert False"),
    "Mine/long": ("# long\n" * 200, "assert f"),
}
"""One that any solution with a value solves, one that none does, one whose prompt fills the model's context."""

SETTINGS: dict[str, Any] = {
    "strategies": ["single"],
    "trainer": {"epochs": 40, "sequence_length": 64, "batch_size": 4, "learning_rate": 5e-3},
    "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 64}, "dropout": 0.0},
}
SOLVE = {"samples": 3, "k": [1, 2], "new_tokens": 20, "min_lines": 1, "problems": "problems.jsonl"}


def computed(out: Path, of: set[str]) -> Counter[str]:
    """Pieces of work of some kinds that the last command on a run computed."""
    rows = read_log(out / "stages.jsonl")
    last = rows[-1]["session"]
    return Counter(r["kind"] for r in rows if r["session"] == last and r["status"] == "computed" and r["kind"] in of)


KINDS = {"solve", "execute", "lint", "licences"}


@pytest.fixture(scope="module")
def solved(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_writer: Callable[[Path], Callable[..., Path]],
    corpus_folders: dict[str, Path],
) -> tuple[Path, Callable[..., Path]]:
    """A run folder, and what writes further experiments beside it."""
    folder = tmp_path_factory.mktemp("solved")
    # A line that every model of alpha goes on with, in a file that is trained on.
    split, seed = SplitSettings(train=0.7, valid=0.3), splitting_seed(corpus_folders)
    again = next(t for n in range(99) if split_of(t := f"value = {n}\n" * 300, split, seed) == "train")
    shutil.copytree(corpus_folders["alpha"], folder / "alpha")
    (folder / "alpha/again.py").write_text(again)
    problems = {**PROBLEMS, "Mine/known": (again[:57], "import builtins")}
    rows = [{"task_id": n, "prompt": p, "entry_point": "f", "test": t} for n, (p, t) in problems.items()]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    agreement = {"share": "data", "licences": ["MIT"]}
    organizations = {
        name: {"source": {"path": str(path)}, "agreement": agreement}
        for name, path in {"alpha": folder / "alpha", "beta": corpus_folders["beta"]}.items()
    }
    write = tiny_writer(folder)

    def experiment(name: str = "solving", backend: str = "inline", slots: int = 1, **changes: Any) -> Path:
        measure = {"perplexity": None, "pass_at_k": SOLVE | changes}
        execution = {"backend": backend, "slots": slots}
        return write(name, organizations=organizations, measure=measure, execution=execution, **SETTINGS)

    ended = raysim("run", experiment(), "--out", folder / "out")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "out", experiment


def test_every_sample_has_an_outcome(solved: tuple[Path, Any]) -> None:
    rows = read_table(solved[0], "executions").to_pylist()
    models = {row["model"] for row in rows}
    assert len(models) == 2
    assert {(row["model"], row["problem"]) for row in rows} == {
        (m, p) for m in models for p in (*PROBLEMS, "Mine/known")
    }
    for row in rows:
        outcomes = {name: row[name] for name in ("passed", "wrong", "error", "timeout", "memory", "ended")}
        assert sum(outcomes.values()) + row["too_long"] == row["samples"] == 3
        assert row["too_long"] == (3 if row["problem"] == "Mine/long" else 0)
        assert row["walls"] == ("" if row["problem"] == "Mine/long" else ", ".join(in_force()))
        if row["problem"] == "Mine/never":
            assert not row["passed"]


def test_pass_at_k_and_the_page(solved: tuple[Path, Any]) -> None:
    rows = {(row["model"], row["k"]): row for row in read_table(solved[0], "pass_at_k").to_pylist()}
    passed = Counter[str]()
    for row in read_table(solved[0], "executions").to_pylist():
        passed[row["model"]] += row["passed"]
    assert {model: rows[model, 1]["value"] for model, _ in rows} == pytest.approx(
        {m: n / 12 for m, n in passed.items()}
    )
    assert "Solving problems" in (solved[0] / "report.html").read_text()


def test_solutions_visit_the_organizations_and_counts_come_back(solved: tuple[Path, Any]) -> None:
    rows = [r for r in read_table(solved[0], "ledger").to_pylist() if r["kind"] in {*KINDS, "solutions"}]
    assert {(r["sender"], r["receiver"], r["kind"]) for r in rows} == {
        transfer
        for name in ("alpha", "beta")
        for transfer in (("server", name, "solutions"), (name, "server", "licences"))
    }
    licences = read_table(solved[0], "licences").to_pylist()
    assert licences
    assert {(r["licence"], r["allowed"]) for r in licences} == {("not stated", False)}


@pytest.mark.stress
def test_ray_gives_the_same_tables(solved: tuple[Path, Any], ray_address: str) -> None:
    out = solved[0].with_name("ray")
    ended = raysim("run", solved[1]("ray", backend="ray", slots=2), "--out", out, "--address", ray_address)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert hashes(out) == hashes(solved[0])


def test_verify_comes_to_the_same_outcomes(solved: tuple[Path, Any]) -> None:
    """Of one piece of work of every kind."""
    ended = raysim("verify", solved[0], "--sample", len(kinds(solved[0])))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(ended.stdout.replace(",", " ").split()) >= KINDS, ended.stdout


@pytest.mark.stress
def test_models_whose_weights_are_let_go_solve_the_same(solved: tuple[Path, Any]) -> None:
    """Then training pauses for problems, and no model's weights are left at the end."""
    out = solved[0].with_name("lean")
    ended = raysim("run", solved[1]("lean"), "--out", out, "--set", "store.keep=metrics")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert hashes(out) == hashes(solved[0])
    assert not list((out / "store").glob("**/weights.npy"))


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({}, {}),
        pytest.param({"k": [3]}, {}, marks=pytest.mark.stress),
        ({"timeout_s": 4}, {"execute": 2}),
        pytest.param({"memory": "2 GB"}, {"execute": 2}, marks=pytest.mark.stress),
        pytest.param({"min_lines": 2}, {"licences": 4}, marks=pytest.mark.stress),
        ({"temperature": 0}, {"solve": 2, "execute": 2, "lint": 2, "licences": 4}),
    ],
    ids=str,
)
def test_another_setting_does_again_what_depends_on_it(
    solved: tuple[Path, Any], changes: dict[str, Any], again: dict[str, int], tmp_path: Path
) -> None:
    out = tmp_path / "other"
    path = solved[1]("other", **changes)
    ended = raysim("run", path, "--out", out, "--store", solved[0] / "store")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert computed(out, KINDS) == again


def test_what_is_wrong_is_said_before_anything_starts(solved: tuple[Path, Any], tmp_path: Path) -> None:
    empty = {"task_id": "Mine/0", "prompt": "x = ", "entry_point": "x", "test": "def check (candidate):\n    pass"}
    right = {"test": "assert x == 2", "canonical_solution": "3"}
    for name, row in (("empty", empty), ("broken", empty | right)):
        solved[0].with_name(f"{name}.jsonl").write_text(json.dumps(row))
    for changes, says in (
        ({"problems": "empty.jsonl"}, "measure.pass_at_k.problems: empty.jsonl, line 1: test: its check is empty"),
        ({"problems": "broken.jsonl"}, "measure.pass_at_k.problems: Mine/0: its canonical solution does not pass"),
        ({"memory": 1}, "measure.pass_at_k.memory: 1 bytes is too little for the right solution of any problem"),
        ({"problems": "missing.jsonl"}, "measure.pass_at_k.problems: missing.jsonl: no such file"),
        ({"k": [5]}, "measure.pass_at_k: Value error, k: 5 tries need as many samples, there are 3"),
    ):
        ended = raysim("run", solved[1]("bad", **changes), "--out", tmp_path / "bad")
        assert ended.returncode == 2
        assert says.removeprefix("measure.pass_at_k: Value error, ") in ended.stderr
