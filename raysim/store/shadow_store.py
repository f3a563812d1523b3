"""A store that pretends to lack chosen entries, so that the code that made them makes them again, elsewhere."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from raysim.core.array_files import open_array_file
from raysim.core.keys import Key
from raysim.store.entries import Entry
from raysim.store.store import Store

_VOLATILE = {"train_seconds"}
"""Facts of an entry that say how long something took."""

_KEYED = "line hashes"
"""Transfers whose hashes are keyed with the secret of the run that made them first."""


class ShadowStore(Store):
    """Reads from `original` whatever is not in `chosen`, and writes into `scratch`.

    Nothing in `original` changes.
    """

    def __init__(self, original: Store, scratch: Path, chosen: Set[Key]) -> None:
        super().__init__(scratch)
        self._original = original
        self._chosen = chosen

    def has(self, key: Key) -> bool:
        return super().has(key) or (key not in self._chosen and self._original.has(key))

    def get(self, key: Key) -> Entry | None:
        return super().get(key) or (None if key in self._chosen else self._original.get(key))

    def peek(self, key: Key) -> Entry | None:
        return super().peek(key) or (None if key in self._chosen else self._original.peek(key))

    def _peek_dropped(self, key: Key) -> Entry | None:
        return None  # what `original` evicted is made here, not brought back there

    def difference(self, key: Key, tolerance: float) -> str | None:
        """How the entry that was made here differs from the one in `original`; None: it does not."""
        stored, made = self._original.peek(key), super().peek(key)
        assert stored is not None, "only what is in both can be compared"
        assert made is not None, "only what is in both can be compared"
        return compare(stored, made, tolerance)


def compare(stored: Entry, made: Entry, tolerance: float) -> str | None:
    """How `made` differs from `stored`: in the bits of its arrays, the values of its tables, or its facts.

    Args:
        stored: what was there; evicted arrays are compared by their hash.
        made: what was made now.
        tolerance: relative L2 distance of an array that is let pass; 0 asks for equal bits.
    """
    found = [_compare_file(stored, made, name, tolerance) for name in sorted({*stored.files, *made.files})]
    if not tolerance:
        # What a later version notes besides is not compared.
        then, now = _facts(stored), _facts(made)
        names = sorted(name for name, value in then.items() if now.get(name) != value)
        found.append(f"{', '.join(names)} in its facts" if names else None)
    return "; ".join(one for one in found if one) or None


def _compare_file(stored: Entry, made: Entry, name: str, tolerance: float) -> str | None:
    if name not in stored.files or name not in made.files:
        return f"{name} is there only {'now' if name in made.files else 'in the store'}"
    if stored.files[name]["sha256"] in ("", made.files[name]["sha256"]):
        return None  # equal, or never written: what was made of it is compared
    if name.endswith(".parquet"):
        # Another version of the writer may pack equal tables into other bytes.
        same = pq.read_table(stored.folder / name).equals(pq.read_table(made.folder / name))
        return None if same else f"{name} has other rows"
    if name in stored.dropped:
        return f"{name} has other bits than the array that was evicted"
    ours, theirs = (open_array_file(entry.folder / name) for entry in (made, stored))
    if ours.shape != theirs.shape:
        return f"{name} has the shape {ours.shape} instead of {theirs.shape}"
    distance = float(np.linalg.norm(ours - theirs) / (np.linalg.norm(theirs) or 1.0))
    return None if distance <= tolerance else f"{name} differs, relative L2 distance {distance:.2g}"


def _facts(entry: Entry) -> Mapping[str, Any]:
    facts = {name: value for name, value in entry.info.items() if name not in _VOLATILE}
    facts["crossings"] = [row for row in facts.get("crossings", ()) if row["kind"] != _KEYED]
    return facts
