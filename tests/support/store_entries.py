"""A small entry of a store, with arrays, a table and facts."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from raysim.core.keys import key_of
from raysim.store.entries import Entry

RECIPE = {"kind": "train", "version": 1, "seed": 1}
KEY = key_of(RECIPE)
ARRAYS = {"weights": np.array([1.5, -2.0], np.float32), "counts": np.array([[1, 2], [3, 4]], np.int64)}
TABLES = {"rows": pa.table({"n": [1, 2], "s": ["a", None]})}
INFO = {"site": "a", "rate": 1.0e-05, "nested": [{"x": None}]}


def facts(entry: Entry) -> tuple:
    return entry.key, entry.recipe, entry.info, entry.files


def everything(folder: Path) -> set[str]:
    """Paths of all files and empty folders below `folder`."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() or not any(p.iterdir())}
