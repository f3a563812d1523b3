"""A small entry of a store, with arrays, a table and facts."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.core.keys import canonical_json, key_of
from raysim.store.entries import Entry

RECIPE = {"kind": "train", "version": 1, "seed": 1}
KEY = key_of(RECIPE)
ARRAYS = {"weights": np.array([1.5, -2.0], np.float32), "counts": np.array([[1, 2], [3, 4]], np.int64)}
TABLES = {"rows": pa.table({"n": [1, 2], "s": ["a", None]})}
INFO = {"site": "a", "rate": 1.0e-05, "nested": [{"x": None}]}


def facts(entry: Entry) -> tuple:
    return entry.key, entry.recipe, entry.info, entry.files


def forge(place: Path, **changes: Any) -> None:
    """Changes facts of the entry in `place`, and renews their hash as anyone can: it has no key."""
    body = json.loads((place / "entry.json").read_text())
    del body["sha256"]
    body |= changes
    digest = hashlib.sha256(canonical_json(body).encode()).hexdigest()
    (place / "entry.json").write_text(json.dumps(body | {"sha256": digest}))


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Content of all files below `folder`, and None for its folders."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def everything(folder: Path) -> set[str]:
    """Paths of all files and empty folders below `folder`."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() or not any(p.iterdir())}
