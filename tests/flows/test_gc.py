"""What may go from a store, and what may not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from drive import hashes, raysim
from store_runs import NO_PROBES, SMALL, arrays, computed, run

from raysim.store.references import References
from raysim.store.store import Store


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
