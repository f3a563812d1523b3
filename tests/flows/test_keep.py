"""Weights that are let go come back where they are needed: for waves of prompts, and after every epoch."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim, started

from raysim.store.store import Store
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

TIMEOUT_S = 120
"""Work that waits for itself would never end."""

NPY_HEADER_BYTES = 128

SMALL_WAVES = """
from raysim.measures import generation
generation._JOB_WEIGHTS_BYTES = 1
"""
"""One model to a job of the pipeline, so that a wave is full as soon as one model waits."""

ORDERS: dict[str, Any] = {"strategies": [{"incremental": {"orders": [["alpha", "beta"], ["alpha", "gamma"]]}}]}
MORE = ("--set", "measure.memorization.samples=3")


def probing(when: str) -> dict[str, Any]:
    settings = {"prompts": {"prefix": 1}, "prefix_tokens": 24, "samples": 2, "new_tokens": 8, "min_lines": 2}
    return {"measure": {"memorization": {**settings, "when": [when]}}}


def bounded(path: Path, out: Path, *more: object) -> None:
    """Runs with small waves, one slot, and no weights kept."""
    keep = ("--set", "store.keep=metrics", "--set", "execution.slots=1")
    ended = raysim("run", path, "--out", out, *keep, *more, timeout=TIMEOUT_S, before=SMALL_WAVES)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def run(path: Path, out: Path, *more: object) -> None:
    ended = raysim("run", path, "--out", out, *more)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def array_files(out: Path) -> list[Path]:
    return list((out / "store" / "objects").rglob("*.npy"))


def trained(out: Path) -> Counter[str]:
    rows = read_log(out / "stages.jsonl")
    return Counter(row["key"] for row in rows if (row["kind"], row["status"]) == ("train", "computed"))


@pytest.mark.slow
@pytest.mark.parametrize("when", [pytest.param("every_stage", marks=pytest.mark.stress), "every_epoch"])
def test_what_waves_need_again_is_made_before_they_take_every_slot(
    tiny: Callable[..., Path], tmp_path: Path, when: str
) -> None:
    """More samples are asked of weights that are gone, snapshots of epochs among them, while there is one slot."""
    path, out = tiny(**ORDERS, **probing(when)), tmp_path / "out"
    bounded(path, out)
    assert array_files(out) == []
    assert set(trained(out).values()) == {1}
    bounded(path, out, *MORE)
    assert array_files(out) == []
    assert max(trained(out).values()) > 1
    run(path, tmp_path / "all", *MORE)
    assert hashes(out) == hashes(tmp_path / "all")


@pytest.mark.slow
def test_snapshots_that_nobody_asks_for_go_with_their_stage(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """A round's stages may be shared with settings whose epochs are probed, so they make snapshots, too."""
    path, out = tiny(strategies=["single", {"fedavg": {"rounds": 2}}], **probing("every_epoch")), tmp_path / "out"
    bounded(path, out)
    assert array_files(out) == []


@pytest.mark.parametrize("keep", ["all", "models", "leaves", "metrics"])
def test_the_plan_says_what_the_store_holds_in_the_end(finished_once: tuple[Path, Path], keep: str) -> None:
    path, out = finished_once
    planned = json.loads(raysim("plan", path, "--json", "--set", f"store.keep={keep}").stdout)
    store, finals = Store(out / "store"), {m["model"] for m in read_table(out, "models").to_pylist() if m["final"]}
    reported = {m["model"] for m in read_table(out, "models").to_pylist()}
    stays = {"all": set(store), "models": reported, "leaves": finals, "metrics": set()}[keep]
    entries = [entry for key in stays if (entry := store.get(key))]
    sizes = [facts["bytes"] for entry in entries for name, facts in entry.files.items() if name.endswith(".npy")]
    assert planned["bytes"] == sum(size - NPY_HEADER_BYTES for size in sizes)
    assert planned["peak_bytes"] > planned["bytes"]


@pytest.mark.slow
def test_gc_spares_the_snapshots_of_a_run_that_was_killed(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path, out = tiny(**ORDERS, **probing("every_epoch")), tmp_path / "out"
    output = tmp_path / "output"
    with started("run", path, "--out", out, output=output) as driver:
        driver.until(lambda: "Evaluating the models" in output.read_text())
        driver.kill()
    store = Store(out / "store")
    epoch_checkpoints = [key for key in store if (entry := store.peek(key)) and entry.recipe["kind"] == "snapshot"]
    assert len(epoch_checkpoints) == 3 * 2
    collected = json.loads(raysim("store", "gc", out, "--json").stdout)
    assert (collected["removed"], collected["arrays let go"]) == (0, 0)
    run(path, out)
    assert set(trained(out).values()) == {1}


@pytest.mark.slow
def test_pooled_epochs_are_those_of_centralized_training_alone(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny(strategies=["single", "centralized", {"fedavg": {"rounds": 2}}], **probing("every_pooled_epoch"))
    planned = json.loads(raysim("plan", path, "--json").stdout)
    run(path, tmp_path / "out")
    models = read_table(tmp_path / "out", "models").to_pylist()
    epochs = [row for row in models if row["moment"] == "epoch"]
    assert [(row["strategy"], row["index"]) for row in epochs] == [("centralized", 1), ("centralized", 2)]
    probed = set(read_table(tmp_path / "out", "samples")["model"].to_pylist())
    assert {row["model"] for row in epochs} <= probed
    store = Store(tmp_path / "out" / "store")
    kinds = Counter(entry.recipe["kind"] for key in store if (entry := store.peek(key)))
    assert kinds["snapshot"] == 2
    again = json.loads(raysim("plan", path, "--out", tmp_path / "out", "--json").stdout)
    assert any(planned["tokens"].values())
    assert not any(again["tokens"].values())
