import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from store_entries import ARRAYS, INFO, KEY, RECIPE, TABLES, everything, facts

from raysim.core.errors import Diverged, InputError, RunError
from raysim.core.keys import key_of
from raysim.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_round_trip(store: Store) -> None:
    assert store.get(KEY) is None
    assert not store.has(KEY)
    written = store.put(RECIPE, INFO, ARRAYS, TABLES)
    entry = Store(store.folder).get(KEY)
    assert entry is not None
    assert store.has(KEY)
    assert facts(entry) == facts(written)
    assert (entry.key, entry.recipe, entry.info) == (KEY, RECIPE, INFO)
    assert set(entry.arrays()) == {"weights", "counts"}
    for name, array in ARRAYS.items():
        assert entry.array(name).dtype == array.dtype
        assert np.array_equal(entry.array(name), array)
    assert entry.table("rows").equals(TABLES["rows"])


def test_torn_entry_is_none_and_is_replaced(store: Store) -> None:
    """A folder without its facts was not finished; it is not in the way for ever."""
    folder = store.put(RECIPE, {"from": "before"}, ARRAYS).folder
    (folder / "entry.json").unlink()
    assert store.get(KEY) is None
    assert not store.has(KEY)
    assert store.put(RECIPE, {"from": "after"}, ARRAYS).info == {"from": "after"}
    assert store.get(KEY) is not None


def test_the_second_writer_gives_way(store: Store) -> None:
    store.put(RECIPE, {"writer": 1}, ARRAYS)
    assert Store(store.folder).put(RECIPE, {"writer": 2}, ARRAYS).info == {"writer": 1}


def test_many_writers_of_one_key_leave_one_whole_entry(store: Store) -> None:
    big = {"weights": np.zeros(200_000, np.float32)}
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda n: Store(store.folder).put(RECIPE, {"writer": n}, big), range(16)))
    kept = store.get(KEY)
    assert kept is not None
    assert {e.info["writer"] for e in entries} == {kept.info["writer"]}
    assert everything(store.folder / "objects") == {f"{KEY[:2]}/{KEY}/{n}" for n in ("entry.json", "weights.npy")}


def test_discard_moves_away_and_lets_it_be_written_again(store: Store) -> None:
    store.put(RECIPE, {"attempt": 1}, ARRAYS)
    store.discard(KEY)
    assert store.get(KEY) is None
    assert len(list((store.folder / "damaged").glob(f"{KEY}-*/entry.json"))) == 1
    assert store.put(RECIPE, {"attempt": 2}, ARRAYS).info == {"attempt": 2}


def test_discard_twice_is_once(store: Store) -> None:
    """Several readers may find the same entry damaged at the same time."""
    store.put(RECIPE, {}, ARRAYS)
    store.discard(KEY)
    store.discard(KEY)
    assert len(list((store.folder / "damaged").iterdir())) == 1


def test_a_store_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used as a store"):
        Store(tmp_path / "file")


# A full disk.


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own with room for 256 KiB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small disk; see the test with a limit on the size of files")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


BIG = {"weights": np.ones(100_000, np.float32)}


@pytest.mark.parametrize("what", ["arrays", "tables"])
def test_full_disk(full_disk: Path, what: str) -> None:
    store = Store(full_disk)
    small = {**RECIPE, "seed": 2}
    store.put(small, {}, ARRAYS)
    noise = np.random.Generator(np.random.Philox(1)).bytes(400_000)
    big = {"arrays": BIG} if what == "arrays" else {"tables": {"t": pa.table({"noise": [noise]})}}
    before = everything(full_disk / "objects")
    with pytest.raises(RunError, match="cannot write"):
        store.put(RECIPE, {}, **big)  # type: ignore[arg-type]
    assert everything(full_disk / "objects") - {KEY[:2]} == before
    assert store.get(key_of(small)) is not None
    assert store.put(RECIPE, {}, ARRAYS).key == KEY


def test_full_disk_keeps_the_older_checkpoint(full_disk: Path) -> None:
    store = Store(full_disk)
    store.put_partial(RECIPE, 1, {"step": 1}, ARRAYS)
    with pytest.raises(RunError):
        store.put_partial(RECIPE, 2, {"step": 2}, BIG)
    assert [p.name for p in (full_disk / "partial" / KEY).iterdir()] == ["0000000001"]
    kept = store.get_partial(KEY)
    assert kept is not None
    assert kept.info == {"step": 1}


def test_files_that_may_not_grow(store: Store) -> None:
    """The same without the right to mount: the kernel refuses to write beyond a size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(RunError, match="cannot write"):
            store.put(RECIPE, {}, BIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert everything(store.folder / "objects") == {KEY[:2]}


# Checkpoints of unfinished stages.


def steps_of(store: Store) -> list[str]:
    return sorted(p.name for p in (store.folder / "partial" / KEY).iterdir())


def test_a_later_checkpoint_replaces_the_earlier(store: Store) -> None:
    for step in (9, 10, 100):
        store.put_partial(RECIPE, step, {"step": step}, {"weights": np.full(3, step, np.float32)})
        partial = store.get_partial(KEY)
        assert partial is not None
        assert partial.info == {"step": step}
        assert partial.array("weights").tolist() == [step] * 3
        assert steps_of(store) == [f"{step:010d}"]
    assert store.get(KEY) is None


def test_no_checkpoint_is_none(store: Store) -> None:
    assert store.get_partial(KEY) is None


def test_the_same_checkpoint_twice_is_still_there(store: Store) -> None:
    """Two runs on one store may come to the same step of the same stage."""
    store.put_partial(RECIPE, 5, {}, ARRAYS)
    store.put_partial(RECIPE, 5, {}, ARRAYS)
    assert store.get_partial(KEY) is not None


@pytest.mark.parametrize("damage", ["entry.json", "weights.npy"])
def test_a_damaged_checkpoint_falls_back(store: Store, damage: str) -> None:
    """As after a kill between the writing of the new and the removal of the old."""
    store.put_partial(RECIPE, 1, {"step": 1}, ARRAYS)
    kept = store.folder / "partial" / KEY / "0000000001"
    shutil.copytree(kept, store.folder / "aside")
    store.put_partial(RECIPE, 2, {"step": 2}, ARRAYS)
    shutil.copytree(store.folder / "aside", kept)
    newest = store.get_partial(KEY)
    assert newest is not None
    assert newest.info == {"step": 2}
    with (newest.folder / damage).open("r+b") as file:
        file.write(b"\0\0\0")
    fallen = store.get_partial(KEY)
    assert fallen is not None
    assert fallen.info == {"step": 1}
    assert steps_of(store) == ["0000000001"]


def test_a_finished_stage_has_no_checkpoint(store: Store) -> None:
    store.put_partial(RECIPE, 1, {}, ARRAYS)
    store.put(RECIPE, {}, ARRAYS)
    assert store.get_partial(KEY) is None
    assert everything(store.folder / "partial") == set()


KILLED_WRITER = """
import os, sys
from pathlib import Path
from typing import Any
import numpy as np
from raysim.store.store import Store

Path.rename = lambda self, target: os.kill(os.getpid(), 9)
Store(Path(sys.argv[1])).put({"kind": "train", "version": 1, "seed": 1}, {}, {"weights": np.ones(3, np.float32)})
"""


def test_a_writer_killed_before_the_end_leaves_no_entry(store: Store) -> None:
    """A kill leaves at most a draft, which no reader takes for an entry."""
    child = subprocess.run([sys.executable, "-c", KILLED_WRITER, store.folder])
    assert child.returncode == -9
    drafts = [path for path in everything(store.folder / "objects") if "entry.json" in path]
    assert len(drafts) == 1
    assert store.get(KEY) is None
    assert store.put(RECIPE, {}, ARRAYS).key == KEY


# Arrays that are evicted.


def test_what_is_let_go_leaves_facts_tables_and_hashes(store: Store) -> None:
    weights, table = np.arange(6, dtype=np.float32), pa.table({"x": [1, 2]})
    entry = store.put(RECIPE, {"loss": 1.5}, {"weights": weights}, {"t": table})
    store.drop_arrays(entry.key)
    hollow = store.get(entry.key)
    assert hollow is not None
    assert (hollow.info, hollow.files, hollow.dropped) == (entry.info, entry.files, {"weights.npy"})
    assert hollow.table("t").equals(table)
    assert hollow.array_names() == ["weights"]
    assert hollow.num_bytes() == entry.files["t.parquet"]["bytes"]
    assert not (entry.folder / "weights.npy").exists()
    store.drop_arrays(entry.key)
    assert store.get(entry.key) == hollow


def test_arrays_come_back_or_come_out_otherwise(store: Store) -> None:
    weights = np.arange(6, dtype=np.float32)
    entry = store.put(RECIPE, {}, {"weights": weights, "m": weights})
    store.drop_arrays(entry.key)
    with pytest.raises(RunError, match=r"weights\.npy of .* was evicted and comes out otherwise now"):
        store.put(RECIPE, {}, {"m": weights, "weights": weights + 1})
    hollow = store.peek(entry.key)
    assert hollow is not None
    assert hollow.dropped == {"weights.npy", "m.npy"}
    assert not list(store.folder.glob("objects/*/.*"))
    back = store.put(RECIPE, {}, {"weights": weights, "m": weights})
    assert back == store.get(entry.key) == entry
    assert np.array_equal(back.array("m"), weights)


def test_letting_go_what_is_not_there(store: Store) -> None:
    store.drop_arrays("0" * 32)
    entry = store.put(RECIPE, {"no": "arrays"})
    store.drop_arrays(entry.key)
    assert store.get(entry.key) == entry


def test_keys_and_removal(store: Store) -> None:
    keys = {store.put({**RECIPE, "n": n}, {}).key for n in range(3)}
    assert set(store) == keys
    gone = keys.pop()
    store.remove(gone)
    assert set(store) == keys
    assert not store.has(gone)


def test_half_written_things_go_when_nobody_is_at_work(store: Store) -> None:
    entry = store.put(RECIPE, {}, {"weights": np.zeros(2, np.float32)})
    drafts = [
        entry.folder.with_name(f".{KEY}.{'0' * 32}"),
        store.folder / "partial" / KEY / f".0000000001.{'0' * 32}",
    ]
    others = entry.folder.with_name(".git"), store.folder / "partial" / ".mine", store.folder / "leases" / "notes"
    for other in others:
        other.mkdir()
    for draft in drafts:
        draft.mkdir(parents=True)
        (draft / "weights.npy").write_bytes(b"half")
    (entry.folder / ".entry.json.x").write_bytes(b"half")
    Store(store.folder)
    assert all(draft.exists() for draft in drafts)  # another run may be writing them
    store.sweep()
    assert not any(draft.exists() for draft in drafts)
    assert all(other.exists() for other in others)  # raysim names nothing so
    assert sorted(path.name for path in entry.folder.iterdir()) == ["entry.json", "weights.npy"]
    assert store.get(entry.key) == entry


def _lease(folder: Path, held: Any, leave: Any) -> None:
    with Store(folder).lease("key") as ours:
        assert ours
        held.set()
        leave.wait()


def test_a_lease_is_held_by_one_process_and_ends_with_it(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    held, leave = context.Event(), context.Event()
    other = context.Process(target=_lease, args=(store.folder, held, leave))
    other.start()
    assert held.wait(60)
    assert store.is_leased("key")
    with store.lease("key") as ours:
        assert not ours
    other.kill()
    other.join()
    assert not store.is_leased("key")
    with store.lease("key") as ours:
        assert ours


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", ["weights", "exp_avg_sq"])
def test_weights_that_have_diverged_do_not_enter(value: float, name: str, store: Store) -> None:
    """Nor does what an optimizer keeps of them; an earlier checkpoint of the stage stays."""
    whole = {"weights": np.ones(5, np.float32), "exp_avg_sq": np.ones(5, np.float32), "steps": np.array([3])}
    store.put_partial(RECIPE, 1, {"step": 1}, whole)
    diverged = whole | {name: np.array([1, 2, value, 3, 4], np.float32)}
    with pytest.raises(Diverged, match=rf"^{name} are not finite or too large: training has diverged; lower"):
        store.put_partial(RECIPE, 2, {"step": 2}, diverged)
    with pytest.raises(Diverged):
        store.put(RECIPE, {}, diverged)
    assert not store.has(KEY)
    partial = store.get_partial(KEY)
    assert partial is not None
    assert partial.info == {"step": 1}


def test_weights_of_half_precision_are_no_smaller_for_it(store: Store) -> None:
    """Their squares would overflow."""
    entry = store.put(RECIPE, {}, {"weights": np.array([300, -6e4], np.float16)})
    assert entry.array("weights").tolist() == [300, -6e4]
    with pytest.raises(Diverged):
        store.put({**RECIPE, "seed": 2}, {}, {"weights": np.array([np.inf], np.float16)})


def test_large_and_empty_weights_enter(store: Store) -> None:
    arrays = {"weights": np.full(9, 1e15, np.float32), "none": np.empty(0, np.float32), "ids": np.array([2**31])}
    assert set(store.put(RECIPE, {}, arrays).arrays()) == set(arrays)


def test_what_is_noted_counts_as_evicted_and_comes_back_whatever_it_is(store: Store) -> None:
    noted = store.note(RECIPE, INFO, ARRAYS)
    files = {f"{name}.npy" for name in ARRAYS}
    assert noted.dropped == files == set(noted.files)
    assert {facts["sha256"] for facts in noted.files.values()} == {""}
    assert store.get(KEY) == noted
    assert not list(store.folder.rglob("*.npy"))
    store.write(RECIPE, INFO, ARRAYS)
    back = store.get(KEY)
    assert back is not None
    assert not back.dropped
    assert all(np.array_equal(back.array(name), array) for name, array in ARRAYS.items())
    store.drop_arrays(KEY)
    with pytest.raises(RunError, match="comes out otherwise"):
        store.write(RECIPE, INFO, {name: array + 1 for name, array in ARRAYS.items()})


def test_a_note_gives_way_to_what_is_there(store: Store) -> None:
    store.put(RECIPE, INFO, ARRAYS, TABLES)
    assert not store.note(RECIPE, INFO, ARRAYS).dropped
