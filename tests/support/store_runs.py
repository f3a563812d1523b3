"""Runs on a store, and what they leave there."""

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


def computed(out: Path) -> Counter[str]:
    return Counter(row["kind"] for row in read_log(out / "stages.jsonl") if row["status"] == "computed")


def arrays(store: Path) -> set[str]:
    """Keys of entries that have all their arrays."""
    entries = [entry for key in Store(store) if (entry := Store(store).peek(key))]
    return {entry.key for entry in entries if entry.array_names() and not entry.dropped}
