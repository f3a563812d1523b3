"""Entries: what was written is read, and whatever was not written is noticed."""

import json
import os
import pickle
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_entries import ARRAYS, INFO, KEY, RECIPE, TABLES, everything, facts

from raysim.core.errors import DamagedEntry
from raysim.core.keys import file_sha256
from raysim.store.entries import write_facts
from raysim.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_arrays_are_read_only(store: Store) -> None:
    with pytest.raises(ValueError, match="read-only"):
        store.put(RECIPE, {}, ARRAYS).array("weights")[0] = 1


def test_sizes_and_hashes_are_those_of_the_files(store: Store) -> None:
    entry = store.put(RECIPE, INFO, ARRAYS, TABLES)
    files = ["weights.npy", "counts.npy", "rows.parquet"]
    assert entry.num_bytes() == sum((entry.folder / name).stat().st_size for name in files)
    hashed = subprocess.run(["sha256sum", entry.folder / "weights.npy"], capture_output=True, text=True, check=True)
    assert entry.files["weights.npy"]["sha256"] == hashed.stdout.split()[0]


def test_arrays_in_any_memory_order(store: Store) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert np.array_equal(store.put(RECIPE, {}, {"a": array}).array("a"), array)


def test_every_flipped_byte_is_detected(store: Store) -> None:
    """In every file of an entry; only a flip that leaves the facts as they are (1e-05 as 1E-05) may pass."""
    entry = store.put(RECIPE, INFO, {"weights": ARRAYS["weights"]}, {"rows": TABLES["rows"].select(["n"])})
    passed = []
    for path in sorted(entry.folder.iterdir()):
        content = path.read_bytes()
        for position in range(len(content)):
            for mask in (0x01, 0x20, 0x80):
                flipped = bytearray(content)
                flipped[position] ^= mask
                path.write_bytes(flipped)
                try:
                    read = store.get(KEY)
                except DamagedEntry:
                    continue
                assert path.name == "entry.json"
                assert read is not None
                assert facts(read) == facts(entry)
                passed.append(bytes(flipped[position - 1 : position + 3]))
        path.write_bytes(content)
    assert set(passed) <= {b"1E-0"}
    assert store.get(KEY) is not None


@pytest.mark.parametrize("name", ["entry.json", "weights.npy", "rows.parquet"])
@pytest.mark.parametrize("length", [0, 20])
def test_cut_files_are_detected(store: Store, name: str, length: int) -> None:
    os.truncate(store.put(RECIPE, INFO, ARRAYS, TABLES).folder / name, length)
    with pytest.raises(DamagedEntry, match=KEY):
        store.get(KEY)


def test_missing_file_is_detected(store: Store) -> None:
    (store.put(RECIPE, INFO, ARRAYS).folder / "counts.npy").unlink()
    with pytest.raises(DamagedEntry, match=KEY):
        store.get(KEY)


def test_peek_checks_the_facts_alone(store: Store) -> None:
    folder = store.put(RECIPE, INFO, ARRAYS).folder
    (folder / "counts.npy").unlink()
    assert store.peek(KEY) is not None
    (folder / "entry.json").write_text(json.dumps(json.loads((folder / "entry.json").read_text()) | {"info": {}}))
    with pytest.raises(DamagedEntry):
        store.peek(KEY)


def test_an_entry_under_another_key_is_damaged(store: Store) -> None:
    other = {**RECIPE, "seed": 2}
    place = store.put(other, {}, ARRAYS).folder
    here = store.put(RECIPE, {}, ARRAYS).folder
    shutil.rmtree(here)
    shutil.copytree(place, here)
    with pytest.raises(DamagedEntry):
        store.get(KEY)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}], ids=["NaN", "a set"])
def test_facts_that_have_no_json_leave_nothing(store: Store, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        store.put(RECIPE, {"value": value}, ARRAYS)
    assert store.get(KEY) is None
    assert everything(store.folder / "objects") == {KEY[:2]}


def test_facts_of_what_was_let_go_are_guarded_too(store: Store) -> None:
    entry = store.put(RECIPE, {}, {"weights": np.zeros(2, np.float32)})
    store.drop_arrays(entry.key)
    facts = entry.folder / "entry.json"
    facts.write_text(facts.read_text().replace('"weights.npy"\n ]', '"other.npy"\n ]'))
    with pytest.raises(DamagedEntry, match=r"entry\.json is not what was written"):
        store.peek(entry.key)


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", ["objects", "pickle", "npz"])
def test_no_array_is_a_pickle(store: Store, tmp_path: Path, content: str) -> None:
    """Even where its hash is right, since whoever can write an array can write a hash."""
    entry, mark = store.put(RECIPE, {}, ARRAYS), tmp_path / "executed"
    path = entry.folder / "weights.npy"
    if content == "objects":
        np.save(path, np.array([Evil(mark)], dtype=object), allow_pickle=True)
    elif content == "pickle":
        path.write_bytes(pickle.dumps(Evil(mark)))
    else:
        with path.open("wb") as file:
            np.savez(file, weights=np.array([Evil(mark)], dtype=object))
    files = {**entry.files, "weights.npy": {"sha256": file_sha256(path), "bytes": path.stat().st_size}}
    write_facts(entry.folder / "entry.json", replace(entry, files=files))
    with pytest.raises(DamagedEntry, match=r"cannot be read: .*"):
        store.get(KEY)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()  # else nothing was shown
