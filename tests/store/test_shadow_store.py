"""How a piece of work that was made once more is compared with the one in the store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raysim.core.errors import Diverged
from raysim.core.keys import file_sha256, key_of
from raysim.store.entries import Entry
from raysim.store.shadow_store import ShadowStore, compare
from raysim.store.store import Store

RECIPE = {"kind": "train", "version": 1}
OTHER = {"kind": "train", "version": 1, "seed": 2}
WEIGHTS = np.array([3.0, 4.0], np.float32)
FAR = np.array([3.0, 5.0], np.float32)
"""At a distance of 1 from weights whose norm is 5."""

Make = Callable[..., Entry]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes one entry, each time into a store of its own."""
    stores = iter(range(10))

    def write(weights: Any = WEIGHTS, rows: Any = (1, 2), **info: Any) -> Entry:
        store = Store(tmp_path / str(next(stores)))
        return store.put(RECIPE, info, {"weights": weights}, {"rows": pa.table({"n": list(rows)})})

    return write


def test_equal_work_does_not_differ(make: Make) -> None:
    assert compare(make(loss=0.5), make(loss=0.5), 0.0) is None


def test_what_a_later_version_notes_besides_is_no_difference(make: Make) -> None:
    assert compare(make(loss=0.5), make(loss=0.5, norms=[1.0]), 0.0) is None
    assert compare(make(loss=0.5, norms=[1.0]), make(loss=0.5), 0.0) == "norms in its facts"


def test_arrays_differ_by_their_relative_distance(make: Make) -> None:
    assert compare(make(), make(FAR), 0.0) == "weights.npy differs, relative L2 distance 0.2"
    assert compare(make(), make(FAR), 0.19) == "weights.npy differs, relative L2 distance 0.2"
    assert compare(make(), make(FAR), 0.21) is None


def test_distance_from_zeros_is_absolute(make: Make) -> None:
    found = compare(make(np.zeros(2, np.float32)), make(), 0.0)
    assert found == "weights.npy differs, relative L2 distance 5"


def test_no_tolerance_lets_a_nan_pass(make: Make) -> None:
    make()
    with pytest.raises(Diverged):
        make(np.array([3.0, np.nan], np.float32))


def test_shapes_are_told(make: Make) -> None:
    found = compare(make(), make(np.ones(3, np.float32)), 1e9)
    assert found == "weights.npy has the shape (3,) instead of (2,)"


def test_tables_are_compared_by_their_rows(make: Make) -> None:
    stored, made = make(), make()
    assert compare(stored, make(rows=(1, 3)), 0.0) == "rows.parquet has other rows"
    packed_otherwise = replace(made, files={**made.files, "rows.parquet": {"sha256": "other", "bytes": 1}})
    assert compare(stored, packed_otherwise, 0.0) is None


def test_arrays_that_were_let_go_are_compared_by_their_hash(make: Make) -> None:
    stored = make()
    (stored.folder / "weights.npy").unlink()
    hollow = replace(stored, dropped=frozenset({"weights.npy"}))
    assert compare(hollow, make(), 0.0) is None
    assert compare(hollow, make(FAR), 0.0) == "weights.npy has other bits than the array that was evicted"


def test_arrays_that_were_never_written_are_compared_with_nothing(make: Make, tmp_path: Path) -> None:
    noted = Store(tmp_path / "noted").note(RECIPE, {"loss": 0.5}, {"weights": WEIGHTS})
    made = replace(make(FAR, loss=0.5), files={"weights.npy": {"sha256": "other", "bytes": 8}})
    assert compare(noted, made, 0.0) is None
    assert compare(noted, replace(made, info={"loss": 1.0}), 0.0) == "loss in its facts"


def test_files_that_only_one_has_are_named(make: Make) -> None:
    whole, less = make(), make()
    less = replace(less, files={"weights.npy": less.files["weights.npy"]})
    assert compare(whole, less, 0.0) == "rows.parquet is there only in the store"
    assert compare(less, whole, 0.0) == "rows.parquet is there only now"


def test_facts_count_except_seconds_and_keyed_hashes(make: Make) -> None:
    hashed = {"sender": "a", "kind": "line hashes", "sha256": "1"}
    moved = {"sender": "a", "kind": "losses", "sha256": "1"}
    stored = make(train_seconds=1.0, loss=0.5, crossings=[hashed, moved])
    assert compare(stored, make(train_seconds=2.0, loss=0.5, crossings=[{**hashed, "sha256": "2"}, moved]), 0.0) is None
    assert compare(stored, make(loss=0.25, crossings=[moved]), 0.0) == "loss in its facts"
    assert compare(stored, make(loss=0.5, crossings=[{**moved, "sha256": "2"}]), 0.0) == "crossings in its facts"


def test_only_what_is_chosen_is_made_again_and_elsewhere(tmp_path: Path) -> None:
    original = Store(tmp_path / "original")
    chosen = original.put(RECIPE, {}, {"weights": WEIGHTS}).key
    other = original.put(OTHER, {}, {"weights": WEIGHTS}).key
    original.drop_arrays(other)
    before = {path: file_sha256(path) for path in original.folder.rglob("*") if path.is_file()}

    again = ShadowStore(original, tmp_path / "scratch", {chosen})
    assert (again.has(chosen), again.get(chosen), again.peek(chosen)) == (False, None, None)
    assert again.has(other)
    assert again.get(other) == original.get(other)
    again.put(RECIPE, {}, {"weights": FAR})
    again.put(OTHER, {}, {"weights": WEIGHTS})  # evicted there, and needed here
    for key in (chosen, other):
        found = again.get(key)
        assert found is not None
        assert (found.dropped, found.folder.is_relative_to(tmp_path / "scratch")) == (frozenset(), True)
    assert again.difference(chosen, 0.0) == "weights.npy differs, relative L2 distance 0.2"
    assert again.difference(other, 0.0) is None
    assert set(again) == {chosen, other} == {key_of(RECIPE), key_of(OTHER)}
    assert {path: file_sha256(path) for path in original.folder.rglob("*") if path.is_file()} == before
