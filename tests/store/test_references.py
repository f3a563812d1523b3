"""Who refers to what in a store, and who may be in it."""

import json
import multiprocessing
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.store.references import References


def run_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    return path


@pytest.fixture
def references(tmp_path: Path) -> References:
    (tmp_path / "store").mkdir()
    return References(tmp_path / "store")


def test_what_a_run_refers_to_is_replaced_and_read_back(references: References, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    assert references.of(run) is None
    references.write(run, ["a", "b"], ["a"])
    references.write(run, ["c", "b"], ["b"])
    (found,) = references.all()
    assert (found.folder, found.keys, found.arrays, found.alive) == (run, {"b", "c"}, {"b"}, True)
    assert references.of(run) == found


def test_others_count_as_long_as_they_are_there(references: References, tmp_path: Path) -> None:
    one, other = run_folder(tmp_path / "one"), run_folder(tmp_path / "other")
    references.write(one, ["a"], ["a"])
    references.write(other, ["a", "b"], ["b"])
    assert references.arrays_of_others(one) == {"b"}
    assert references.arrays_of_others(other) == {"a"}
    shutil.rmtree(other)
    assert references.arrays_of_others(one) == frozenset()
    references.forget_gone()
    assert [found.folder for found in references.all()] == [one]


def test_a_run_that_moves_with_its_store_keeps_its_references(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    (run / "store").mkdir()
    References(run / "store").write(run, ["a"], ["a"])
    run.rename(tmp_path / "moved")
    (found,) = References(tmp_path / "moved" / "store").all()
    assert (found.folder, found.alive) == (tmp_path / "moved", True)


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"run": "x"})])
def test_references_that_cannot_be_read_stop_the_garbage_collector(
    references: References, tmp_path: Path, content: str
) -> None:
    run = run_folder(tmp_path / "run")
    references.write(run, ["a"], [])
    (path,) = (tmp_path / "store" / "runs").glob("*.json")
    path.write_text(content)
    with pytest.raises(InputError, match=r"cannot be read .* delete the file if that run is gone"):
        references.all()


def _stay(store: Path, entered: Any, leave: Any) -> None:
    with References(store).at_work():
        entered.set()
        leave.wait()


def test_many_are_at_work_and_only_one_alone(
    references: References, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raysim.store.references._PATIENCE_S", 0.0)
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=_stay, args=(tmp_path / "store", entered, leave))
    other.start()
    try:
        assert entered.wait(60)
        with references.at_work(), pytest.raises(InputError, match="a run is at work in it"), references.alone():
            pass
    finally:
        leave.set()
        other.join()
    with references.alone(), pytest.raises(InputError, match="gc"), References(tmp_path / "store").at_work():
        pass


def _sweep(store: Path, entered: Any, leave: Any) -> None:
    with References(store).alone():
        entered.set()
        leave.wait()


def test_a_run_waits_for_one_that_sweeps_the_store_as_it_starts(references: References, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=_sweep, args=(tmp_path / "store", entered, leave))
    other.start()
    assert entered.wait(60)
    threading.Timer(0.3, leave.set).start()
    with references.at_work():
        assert leave.is_set()
    other.join()
