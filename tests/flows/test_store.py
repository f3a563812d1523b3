"""What a store keeps, who needs it, what may go, and two runs in one store at once."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim, started

from raysim.store.references import References
from raysim.store.store import Store
from raysim.store.task_log import read_log

SMALL: dict[str, Any] = {"strategies": [{"incremental": {"orders": [["alpha", "beta"], ["alpha", "gamma"]]}}]}
NO_PROBES: dict[str, Any] = {**SMALL, "measure": {}}


def run(path: Path, out: Path, *more: object) -> None:
    ended = raysim("run", path, "--out", out, *more)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def computed(out: Path) -> Counter[str]:
    return Counter(row["kind"] for row in read_log(out / "stages.jsonl") if row["status"] == "computed")


def arrays(store: Path) -> set[str]:
    """Keys of entries that have all their arrays."""
    entries = [entry for key in Store(store) if (entry := Store(store).peek(key))]
    return {entry.key for entry in entries if entry.array_names() and not entry.dropped}


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
@pytest.mark.parametrize("keep", ["leaves", "metrics"])
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
    tiny: Callable[..., Path], finished_once: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In waves of two models: generations are in the log before training ends, and the tables are the same."""
    from rich.console import Console

    from raysim.cli.progress import ConsoleObserver
    from raysim.experiment.run import Options
    from raysim.experiment.run import run as run_here
    from raysim.report.write import write_report

    monkeypatch.setattr("raysim.measures.generation._JOB_WEIGHTS_BYTES", 2 * 4 * 27_616)
    options = Options(tiny(), tmp_path / "out", overrides=("store.keep=metrics",))
    run_here(options, ConsoleObserver(Console(quiet=True)), write_report)
    kinds = [row["kind"] for row in read_log(tmp_path / "out" / "stages.jsonl")]
    assert kinds.index("generate") < len(kinds) - 1 - kinds[::-1].index("train")
    assert hashes(tmp_path / "out") == hashes(finished_once[1])


@pytest.mark.slow
def test_gc_removes_what_no_run_refers_to(tiny: Callable[..., Path], tmp_path: Path) -> None:
    store, one, other = tmp_path / "store", tmp_path / "one", tmp_path / "other"
    path = tiny(**SMALL)
    run(path, one, "--store", store)
    run(path, other, "--store", store, "--set", "trainer.learning_rate=1.0e-3")
    shown = json.loads(raysim("store", "show", store, "--json").stdout)
    sizes = {row["run"]: row for row in shown["runs"]}
    shared = sizes[str(one)]["entries"] - sizes[str(one)]["alone"]["entries"]
    assert shared > 0  # the tokenizer, the initial weights and what is measured of them, the prompts
    assert shown["entries"] == sum(row["alone"]["entries"] for row in shown["runs"]) + shared
    nothing = json.loads(raysim("store", "gc", store, "--json").stdout)
    assert (nothing["removed"], nothing["bytes"], nothing["kept"]) == (0, 0, shown["entries"])
    tables, once = hashes(one), computed(one)

    shutil.rmtree(other)
    dry = json.loads(raysim("store", "gc", store, "--dry-run", "--json").stdout)
    assert len(list(Store(store))) == shown["entries"]
    wet = json.loads(raysim("store", "gc", one, "--json").stdout)
    assert wet == dry
    assert wet["removed"] == sizes[str(other)]["alone"]["entries"]
    assert len(list(Store(store))) == sizes[str(one)]["entries"]
    run(path, one, "--store", store)
    assert (hashes(one), computed(one)) == (tables, once)


def test_a_damaged_entry_is_counted_and_goes(finished_once: tuple[Path, Path], tmp_path: Path) -> None:
    """Its facts are cut short; and a kill has left arrays there that another entry has let go."""
    path, out = tmp_path / "tiny.yaml", tmp_path / "out"
    shutil.copy(finished_once[0], path)
    shutil.copytree(finished_once[1], out)
    store = Store(out / "store")
    damaged, stray, *_ = sorted(arrays(out / "store"))
    entry = store.peek(stray)
    assert entry
    held = {name: (entry.folder / name).read_bytes() for name in entry.files if name.endswith(".npy")}
    store.drop_arrays(stray)
    for name, content in held.items():
        (entry.folder / name).write_bytes(content)
    cut = next(place for place in store.places() if place.name == damaged)
    facts = cut / "entry.json"
    facts.write_bytes(facts.read_bytes()[:-9])
    entries = len(list(store)) - 1
    size = sum(file.stat().st_size for file in cut.iterdir()) + sum(map(len, held.values()))
    shown = raysim("store", "show", out, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["damaged"] == 1
    assert "1 entries; gc removes" in raysim("store", "show", out).stdout
    freed = json.loads(raysim("store", "gc", out, "--json").stdout)
    assert (freed["kept"], freed["removed"], freed["bytes"]) == (entries, 0, size)
    assert not cut.exists()
    assert not list(entry.folder.glob("*.npy"))
    run(path, out)
    assert hashes(out) == hashes(finished_once[1])


def test_gc_refuses_where_it_could_do_harm(tiny: Callable[..., Path], tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    run(tiny(**NO_PROBES), out, "--store", store)
    with References(store).at_work():
        ended = raysim("store", "gc", store)
    assert (ended.returncode, "a run is at work in it" in " ".join(ended.stderr.split())) == (2, True)
    shutil.rmtree(out)
    ended = raysim("store", "gc", store)
    assert (ended.returncode, "delete the folder" in " ".join(ended.stderr.split())) == (2, True)
    ended = raysim("store", "show", tmp_path / "nowhere")
    assert (ended.returncode, "neither a store" in " ".join(ended.stderr.split())) == (2, True)


def test_nothing_goes_that_another_run_counts_on(tiny: Callable[..., Path], tmp_path: Path) -> None:
    store, path = tmp_path / "store", tiny(**NO_PROBES)
    run(path, tmp_path / "all", "--store", store)
    there = arrays(store)
    run(path, tmp_path / "metrics", "--store", store, "--set", "store.keep=metrics")
    assert arrays(store) == there
    shutil.rmtree(tmp_path / "all")
    freed = json.loads(raysim("store", "gc", store, "--json").stdout)
    assert freed["arrays let go"] == len(there)
    assert arrays(store) == set()


@pytest.mark.slow
def test_two_runs_share_a_store_at_once(
    tiny: Callable[..., Path], finished_once: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each stage is trained by one of them; the other waits for it."""
    path, store = tiny(), tmp_path / "store"
    outs = [tmp_path / "one", tmp_path / "other"]
    with (
        started("run", path, "--out", outs[0], "--store", store) as one,
        started("run", path, "--out", outs[1], "--store", store) as other,
    ):
        assert [one.wait(), other.wait()] == [0, 0]
    for out in outs:
        assert hashes(out) == hashes(finished_once[1])
    trained = [
        row["key"]
        for out in outs
        for row in read_log(out / "stages.jsonl")
        if row["kind"] == "train" and row["status"] == "computed"
    ]
    assert len(trained) == len(set(trained)) == 25
