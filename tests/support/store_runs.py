"""Runs on a store, and what they leave there."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

from drive import raysim

from raysim.store.store import Store
from raysim.store.task_log import read_log

SMALL: dict[str, Any] = {"strategies": [{"incremental": {"orders": [["alpha", "beta"], ["alpha", "gamma"]]}}]}
NO_PROBES: dict[str, Any] = {**SMALL, "measure": {}}


def run(path: Path, out: Path, *more: object) -> None:
    ended = raysim("run", path, "--out", out, *more)
    assert ended.returncode == 0, ended.stdout + ended.stderr


_KILL = """
import os, threading, time
from pathlib import Path
from raysim.store.task_log import read_log
def watch():
    while len({{row["key"] for row in read_log(Path({log!r})) if {kind!r} in ("", row["kind"])}}) < {count}:
        time.sleep(0.01)
    os.kill(os.getpid(), {number})
threading.Thread(target=watch, daemon=True).start()
"""


def killed_after(out: Path, count: int, kind: str = "", number: signal.Signals = signal.SIGKILL) -> str:
    """Code for a command to perform before it runs: it gets a signal once so much work, of a kind or any, is logged.

    In its own process, so that it cannot come to its end while this waits for a core.
    """
    return _KILL.format(log=str(out / "stages.jsonl"), count=count, kind=kind, number=int(number))


def computed(out: Path) -> Counter[str]:
    return Counter(row["kind"] for row in read_log(out / "stages.jsonl") if row["status"] == "computed")


def kinds(out: Path) -> set[str]:
    """Of all work in a run's store, of which `verify --sample` makes one piece each at least, if it is as many."""
    return {entry.recipe["kind"] for key in Store(out / "store") if (entry := Store(out / "store").peek(key))}


def arrays(store: Path) -> set[str]:
    """Keys of entries that have all their arrays."""
    entries = [entry for key in Store(store) if (entry := Store(store).peek(key))]
    return {entry.key for entry in entries if entry.array_names() and not entry.dropped}
