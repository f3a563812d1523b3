"""Entries on their way into a store: in order, waited for, counted once written; whoever counts on one is told."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysim.core.errors import RunError
from raysim.core.keys import key_of
from raysim.store.entries import Entry
from raysim.store.store import Store
from raysim.store.write_behind import WriteBehind

ONE, TWO = ({"kind": "train", "version": 1, "seed": seed} for seed in (1, 2))
WEIGHTS = {"weights": np.arange(4, dtype=np.float32)}


class Gated(Store):
    """Writes when it is told to, and cannot write what is in `full`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = threading.Event()
        self.full: set[int] = set()

    def write(self, recipe: Any, info: Any, arrays: Any = None, tables: Any = None) -> Entry:
        assert self.gate.wait(30)
        if recipe["seed"] in self.full:
            raise RunError("disk full")
        return super().write(recipe, info, arrays, tables)


@pytest.fixture
def store(tmp_path: Path) -> Gated:
    return Gated(tmp_path / "store")


def test_an_entry_counts_once_it_is_written(store: Gated) -> None:
    said: list[Any] = []

    async def scenario() -> None:
        behind = WriteBehind(store)
        for recipe in (ONE, TWO):
            key = key_of(recipe)
            behind.put("work", recipe, {"n": 1}, WEIGHTS, lambda seed=recipe["seed"]: said.append(seed))
            behind.after(key, lambda key=key: said.append(store.has(key)))
        behind.after("another", lambda: said.append("at once"))
        waiting = asyncio.ensure_future(behind.written(key_of(ONE)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert said == ["at once"]
        store.gate.set()
        await waiting
        await behind.flush()
        behind.after(key_of(ONE), lambda: said.append("at once"))

    asyncio.run(scenario())
    assert said == ["at once", 1, True, 2, True, "at once"]
    entry = store.get(key_of(TWO))
    assert entry is not None
    assert entry.info == {"n": 1}
    assert np.array_equal(entry.array("weights"), WEIGHTS["weights"])


def test_a_failure_is_told_to_whoever_counts_on_the_entry_and_frees_what_it_held(store: Gated) -> None:
    said: list[str] = []

    async def scenario() -> None:
        behind = WriteBehind(store)
        store.full = {1}
        store.gate.set()
        behind.put("fedavg, round 1", ONE, {}, WEIGHTS, lambda: said.append("released"))
        behind.after(key_of(ONE), lambda: said.append("never"))
        behind.put("fedavg, round 2", TWO, {}, WEIGHTS, lambda: said.append("released"))
        for wait in (behind.flush(), behind.written(key_of(ONE)), behind.flush()):
            with pytest.raises(RunError, match="fedavg, round 1: disk full"):
                await wait
        await behind.written(key_of(TWO))

    asyncio.run(scenario())
    assert said == ["released", "released"]
    assert store.has(key_of(TWO))


def test_what_fails_after_a_write_is_told_as_well(store: Gated) -> None:
    """Such as the line of a log that a full disk does not take."""

    def log() -> None:
        raise RunError("no room for a line")

    async def scenario() -> None:
        behind = WriteBehind(store)
        store.gate.set()
        behind.put("fedavg, round 1", ONE, {}, WEIGHTS, lambda: None)
        behind.after(key_of(ONE), log)
        for wait in (behind.flush(), behind.written(key_of(ONE))):
            with pytest.raises(RunError, match="no room for a line"):
                await wait

    asyncio.run(scenario())
    assert store.has(key_of(ONE))
