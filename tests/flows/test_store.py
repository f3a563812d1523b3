"""What a store keeps, and two runs in one store at once."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim, started
from store_runs import arrays, computed, run

from raysim.store.task_log import read_log

MORE = ("--set", "measure.memorization.samples=3")


@pytest.fixture(scope="module")
def measured_more(finished_small: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a run that has kept all weights, with more measured on them."""
    path, out = finished_small
    more = tmp_path_factory.mktemp("more") / "out"
    shutil.copytree(out, more)
    run(path, more, *MORE)
    return more


@pytest.mark.slow
@pytest.mark.parametrize("keep", [pytest.param("leaves", marks=pytest.mark.stress), "metrics"])
def test_weights_that_go_change_nothing(
    finished_small: tuple[Path, Path], measured_more: Path, tmp_path: Path, keep: str
) -> None:
    """Equal tables; only leaves stay, or nothing; again computes nothing; more measures make again what they need."""
    path, out = finished_small[0], tmp_path / "out"
    bounded = ("--set", f"store.keep={keep}", "--set", "execution.slots=1")
    run(path, out, *bounded)
    assert hashes(out) == hashes(finished_small[1])
    finals = {m["model"] for m in _models(out) if m["final"]}
    assert arrays(out / "store") == (finals if keep == "leaves" else set())
    once = computed(out)
    run(path, out, *bounded)
    assert computed(out) == once
    run(path, out, *bounded, *MORE)
    assert computed(out)["train"] > once["train"]
    assert arrays(out / "store") == (finals if keep == "leaves" else set())
    assert hashes(out) == hashes(measured_more)
    ended = raysim("verify", out, "--sample", 12)
    assert ended.returncode == 0, ended.stderr


def _models(out: Path) -> list[dict[str, Any]]:
    from raysim.tables.io import read_table

    return read_table(out, "models").to_pylist()


@pytest.mark.slow
def test_training_pauses_for_prompts_where_the_disk_is_bounded(
    finished_small: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In waves of two models: generations are in the log before training ends, and the tables are the same."""
    from rich.console import Console

    from raysim.cli.progress import ConsoleObserver
    from raysim.experiment.run import Options
    from raysim.experiment.run import run as run_here
    from raysim.report.write import write_report

    monkeypatch.setattr("raysim.measures.generation._JOB_WEIGHTS_BYTES", 2 * 4 * 27_616)
    options = Options(finished_small[0], tmp_path / "out", overrides=("store.keep=metrics",))
    run_here(options, ConsoleObserver(Console(quiet=True)), write_report)
    kinds = [row["kind"] for row in read_log(tmp_path / "out" / "stages.jsonl")]
    assert kinds.index("generate") < len(kinds) - 1 - kinds[::-1].index("train")
    assert hashes(tmp_path / "out") == hashes(finished_small[1])


@pytest.mark.slow
def test_two_runs_share_a_store_at_once(finished_small: tuple[Path, Path], tmp_path: Path) -> None:
    """Each stage is trained by one of them; the other waits for it."""
    path, store = finished_small[0], tmp_path / "store"
    outs = [tmp_path / "one", tmp_path / "other"]
    with (
        started("run", path, "--out", outs[0], "--store", store) as one,
        started("run", path, "--out", outs[1], "--store", store) as other,
    ):
        assert [one.wait(), other.wait()] == [0, 0]
    for out in outs:
        assert hashes(out) == hashes(finished_small[1])
    trained = [
        row["key"]
        for out in outs
        for row in read_log(out / "stages.jsonl")
        if row["kind"] == "train" and row["status"] == "computed"
    ]
    assert len(trained) == len(set(trained)) == 2 + 2 * 3
