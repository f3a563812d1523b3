"""Rounds that end early, in whole runs: planned as a bound, killed and resumed to equal tables, told in the report."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim
from store_runs import arrays, computed, killed_after, run

from raysim.tables.io import read_table

ROUNDS: dict[str, Any] = {"rounds": 5, "local_epochs": 1}
HOPELESS = {"patience": 2, "min_delta": 100.0, "keep": "best"}
"""Nothing is so much better than the first round: three are trained, and the first is kept."""

STRATEGIES: list[dict[str, Any]] = [{"fedavg": {**ROUNDS, "early_stop": HOPELESS}}]
CHANGES: dict[str, Any] = {"strategies": STRATEGIES, "measure": {"perplexity": {"when": "final"}}}
LEAVES = {**CHANGES, "store": {"keep": "leaves"}}


@pytest.fixture(scope="module")
def finished(
    tiny_writer: Callable[[Path], Callable[..., Path]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """An experiment whose rounds end early, and its finished run."""
    folder = tmp_path_factory.mktemp("early")
    path = tiny_writer(folder)(**LEAVES)
    run(path, folder / "out")
    return path, folder / "out"


def test_a_plan_is_a_bound_and_says_so(finished: tuple[Path, Path], tmp_path: Path) -> None:
    path, out = finished
    before, after = (" ".join(raysim("plan", path, "--out", it).stdout.split()) for it in (tmp_path / "none", out))
    assert "fedavg: at most 5 rounds, and all of them count in what is planned here; early_stop may end" in before
    assert _stages(before) == ["15", "15", "0", "15"]
    assert "at most 5 rounds" not in after
    assert _stages(after) == ["9", "9", "9", "0"]


def _stages(planned: str) -> list[str]:
    """Of the one setting: if every order ran alone, stages, in the store, to compute."""
    return re.findall(r"\d+", planned.partition("│ fedavg")[2])[:4]


def test_tables_say_when_it_ended(finished: tuple[Path, Path]) -> None:
    _, out = finished
    rows = read_table(out, "validations").to_pylist()
    assert [(r["round"], r["improved"], r["kept"], r["last"], r["rounds"]) for r in rows] == [
        (1, True, True, False, 5), (2, False, False, False, 5), (3, False, False, True, 5),
    ]  # fmt: skip
    models = [row for row in read_table(out, "models").to_pylist() if row["moment"] == "round"]
    assert [(row["index"], row["final"]) for row in models] == [(1, True), (2, False), (3, False)]
    assert [row["model"] for row in models] == [row["model"] for row in rows]
    losses = read_table(out, "losses").to_pylist()
    scored = [row for row in losses if row["model"] == models[0]["model"] and row["split"] == "valid"]
    assert rows[0]["loss"] == pytest.approx(sum(r["nats"] for r in scored) / sum(r["tokens"] for r in scored))
    assert max(row["round"] for row in read_table(out, "participation").to_pylist()) == 3
    assert (computed(out)["train"], computed(out)["aggregate"]) == (9, 3)
    assert "Rounds that end by validation" in (out / "report.html").read_text("utf-8")


def test_the_kept_model_alone_stays(finished: tuple[Path, Path]) -> None:
    _, out = finished
    (kept,) = (row["model"] for row in read_table(out, "validations").to_pylist() if row["kept"])
    assert arrays(out / "store") == {kept}


def test_killed_and_resumed_once_gives_equal_tables(finished: tuple[Path, Path], tmp_path: Path) -> None:
    path, undisturbed = finished
    out = tmp_path / "killed"
    killed = raysim("run", path, "--out", out, before=killed_after(out, 2, "aggregate"))
    assert killed.returncode == -signal.SIGKILL
    run(path, out)
    assert hashes(out) == hashes(undisturbed)
    again = raysim("run", path, "--out", out)
    assert again.returncode == 0, again.stderr
    assert computed(out)["train"] == 9
    assert hashes(out) == hashes(undisturbed)


def test_what_has_no_effect_is_refused_before_training(tiny: Callable[..., Path]) -> None:
    path = tiny(strategies=[{"personalized": {**ROUNDS, "early_stop": HOPELESS}}], measure={})
    ended = raysim("plan", path)
    assert ended.returncode == 2
    assert "early_stop: each organization goes on from the last round" in ended.stderr
