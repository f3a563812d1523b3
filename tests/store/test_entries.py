"""Entries: what was written is read, and whatever was not written is noticed."""

import json
import os
import pickle
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st
from store_entries import ARRAYS, INFO, KEY, RECIPE, TABLES, everything, facts, forge, snapshot

from raysim.core.errors import DamagedEntry, RaysimError
from raysim.core.keys import file_sha256, key_of
from raysim.store.entries import write_facts
from raysim.store.gc import collect_garbage, store_usage
from raysim.store.references import References
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


# Facts that somebody else wrote, with a hash that is right.

HOSTILE_NAMES = (
    "../../../../x.npy",
    "{outside}/x.npy",
    "..",
    ".npy",
    "a/b.npy",
    "..\\x.npy",
    "x.npy\n",
    "x.sh",
    "a\0.npy",
    "",
)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_file_that_is_not_in_its_entry_makes_it_damaged(store: Store, tmp_path: Path, name: str) -> None:
    """Whoever evicts arrays or collects garbage would delete that file."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for place in (outside, tmp_path, store.folder):
        (place / "x.npy").write_bytes(b"somebody's")
    entry = store.put(RECIPE, INFO, ARRAYS, TABLES)
    forged = dict(entry.files) | {name.format(outside=outside): {"sha256": "0" * 64, "bytes": 10}}
    forge(entry.folder, files=forged, dropped=[name.format(outside=outside)])
    before = snapshot(outside), (tmp_path / "x.npy").read_bytes()
    for use in (store.get, store.peek, store.drop_arrays):
        with pytest.raises(DamagedEntry, match=KEY):
            use(KEY)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    References(store.folder).write(tmp_path / "run", [KEY], [])
    store.put({**RECIPE, "seed": 2}, {})
    collect_garbage(store.folder, dry_run=False)
    assert (snapshot(outside), (tmp_path / "x.npy").read_bytes()) == before
    assert (store.folder / "x.npy").exists()
    assert not entry.folder.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"dropped": ["/x.npy"]},
        {"dropped": ["rows.parquet"]},
        {"files": {"weights.npy": {"sha256": "0" * 64, "bytes": -1}}},
        {"files": {"weights.npy": {"sha256": "0" * 64, "bytes": "9"}}},
        {"files": {"weights.npy": {"sha256": 7, "bytes": 9}}},
        {"files": ["weights.npy"]},
        {"files": None},
        {"info": []},
        {"dropped": 7},
        {"dropped": [[]]},
        {"key": "../x"},
        {"recipe": {"kind": 7, "version": 1}},
        {"recipe": "kind version"},
    ],
    ids=repr,
)
def test_facts_of_another_form_make_an_entry_damaged(store: Store, changes: dict[str, Any]) -> None:
    entry = store.put(RECIPE, INFO, ARRAYS, TABLES)
    recipe = changes.get("recipe", RECIPE)
    place = entry.folder
    key = KEY if recipe is RECIPE else key_of(recipe)
    if key != KEY:  # under the key that the recipe has
        place = store.folder / "objects" / key[:2] / key
        shutil.copytree(entry.folder, place)
        changes["key"] = key
    forge(place, **changes)
    for use in (store.get, store.peek):
        with pytest.raises(DamagedEntry):
            use(key)


@pytest.mark.parametrize("name", ["a/b", "../a", ".a", ""])
def test_names_that_no_entry_can_have_are_not_written(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="names no array and no table"):
        store.put(RECIPE, {}, {name: ARRAYS["weights"]})
    assert everything(store.folder / "objects") == set()


@pytest.mark.parametrize("level", ["entry", "its folder"])
def test_an_entry_that_is_a_link_is_damaged(store: Store, tmp_path: Path, level: str) -> None:
    place = store.put(RECIPE, INFO, ARRAYS).folder
    linked = place if level == "entry" else place.parent
    shutil.move(linked, tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path / "elsewhere")
    for use in (store.get, store.peek, store.drop_arrays):
        with pytest.raises(DamagedEntry, match="is a link"):
            use(KEY)
    assert list(store) == []
    store.sweep()
    assert snapshot(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("key", ["..", "../../x", "/abs", "x", "", "0" * 31, "0" * 31 + "g", "0" * 32 + "\n"])
def test_what_is_no_key_is_nowhere(store: Store, tmp_path: Path, key: str) -> None:
    for use in (store.get, store.peek, store.has, store.remove, store.drop_arrays, store.discard):
        with pytest.raises(DamagedEntry, match="is no key"):
            use(key)


@settings(max_examples=scaled(100), deadline=None)
@given(st.data())
def test_whatever_is_in_a_store_is_read_or_damaged(data: st.DataObject) -> None:
    """Any name and any value of the facts, any bytes in any file: an error of ours, and nothing outside changes."""
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-1, 9)
        | st.sampled_from([*HOSTILE_NAMES, KEY, "weights.npy", "0" * 64]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(HOSTILE_NAMES), inner, max_size=3),
        max_leaves=5,
    )
    with TemporaryDirectory() as folder:
        outside, run = Path(folder) / "outside", Path(folder) / "run"
        for path in (outside, run):
            path.mkdir()
        (outside / "x.npy").write_bytes(b"somebody's")
        (run / "manifest.json").write_text("{}")
        (Path(folder) / "x.npy").write_bytes(b"somebody's")
        store = Store(Path(folder) / "store")
        entry = store.put(RECIPE, INFO, ARRAYS, TABLES)
        references = References(store.folder)
        references.write(run, [KEY, store.put({**RECIPE, "seed": 2}, {}).key], data.draw(st.sampled_from([[], [KEY]])))
        kind = data.draw(st.sampled_from(["facts", "file", "bytes", "references", "log"]))
        if kind == "facts":
            forge(entry.folder, **{data.draw(st.sampled_from(["files", "dropped", "info", "key"])): data.draw(values)})
        elif kind == "file":
            name = data.draw(st.sampled_from(HOSTILE_NAMES)).format(outside=outside)
            forge(entry.folder, files=dict(entry.files) | {name: {"sha256": "0" * 64, "bytes": 10}}, dropped=[name])
        elif kind == "bytes":
            file = data.draw(st.sampled_from(sorted(entry.folder.iterdir())))
            file.write_bytes(data.draw(st.binary(max_size=40) | st.just(b"[" * 100_000)))
        elif kind == "references":
            (file,) = (store.folder / "runs").glob("*.json")
            body = json.loads(file.read_text()) | {
                data.draw(st.sampled_from(["run", "keys", "arrays"])): data.draw(values)
            }
            file.write_text(json.dumps(body))
        else:
            (run / "stages.jsonl").write_text(
                json.dumps(data.draw(values)) + "\n" + json.dumps({"key": data.draw(values)})
            )
        before = snapshot(outside), snapshot(run), (Path(folder) / "x.npy").read_bytes()
        for use in (store.get, store.peek, store.drop_arrays, lambda _: store_usage(store.folder)):
            with suppress(RaysimError):
                use(KEY)
        with suppress(RaysimError):
            collect_garbage(store.folder, dry_run=False)
        assert (snapshot(outside), snapshot(run), (Path(folder) / "x.npy").read_bytes()) == before


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
