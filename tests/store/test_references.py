"""Who refers to what in a store, and who may be in it."""

import json
import multiprocessing
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.store.references import Claims


def run_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    return path


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    (tmp_path / "store").mkdir()
    return Claims(tmp_path / "store")


def test_a_claim_is_replaced_and_read_back(claims: Claims, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    assert claims.of(run) is None
    claims.write(run, ["a", "b"], ["a"])
    claims.write(run, ["c", "b"], ["b"])
    (claim,) = claims.all()
    assert (claim.run, claim.keys, claim.arrays, claim.alive) == (run, {"b", "c"}, {"b"}, True)
    assert claims.of(run) == claim


def test_others_count_as_long_as_they_are_there(claims: Claims, tmp_path: Path) -> None:
    one, other = run_folder(tmp_path / "one"), run_folder(tmp_path / "other")
    claims.write(one, ["a"], ["a"])
    claims.write(other, ["a", "b"], ["b"])
    assert claims.arrays_of_others(one) == {"b"}
    assert claims.arrays_of_others(other) == {"a"}
    shutil.rmtree(other)
    assert claims.arrays_of_others(one) == frozenset()
    claims.forget_gone()
    assert [claim.run for claim in claims.all()] == [one]


def test_a_run_that_moves_with_its_store_keeps_its_claim(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    (run / "store").mkdir()
    Claims(run / "store").write(run, ["a"], ["a"])
    run.rename(tmp_path / "moved")
    (claim,) = Claims(tmp_path / "moved" / "store").all()
    assert (claim.run, claim.alive) == (tmp_path / "moved", True)


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"run": "x"})])
def test_a_claim_that_cannot_be_read_stops_whoever_would_tidy_up(claims: Claims, tmp_path: Path, content: str) -> None:
    run = run_folder(tmp_path / "run")
    claims.write(run, ["a"], [])
    (path,) = (tmp_path / "store" / "runs").glob("*.json")
    path.write_text(content)
    with pytest.raises(InputError, match=r"cannot be read .* delete the file if that run is gone"):
        claims.all()


def _stay(store: Path, entered: Any, leave: Any) -> None:
    with Claims(store).at_work():
        entered.set()
        leave.wait()


def test_many_are_at_work_and_only_one_alone(claims: Claims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raysim.store.references._PATIENCE_S", 0.0)
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=_stay, args=(tmp_path / "store", entered, leave))
    other.start()
    try:
        assert entered.wait(60)
        with claims.at_work(), pytest.raises(InputError, match="a run is at work in it"), claims.alone():
            pass
    finally:
        leave.set()
        other.join()
    with claims.alone(), pytest.raises(InputError, match="gc"), Claims(tmp_path / "store").at_work():
        pass


def _sweep(store: Path, entered: Any, leave: Any) -> None:
    with Claims(store).alone():
        entered.set()
        leave.wait()


def test_a_run_waits_for_one_that_sweeps_the_store_as_it_starts(claims: Claims, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=_sweep, args=(tmp_path / "store", entered, leave))
    other.start()
    assert entered.wait(60)
    threading.Timer(0.3, leave.set).start()
    with claims.at_work():
        assert leave.is_set()
    other.join()
