"""Entries of a store: a folder with flat arrays, tables and one JSON of facts, whose hashes say what was written."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from raysim.core.array_files import check_array_file, open_array_file, write_array_file
from raysim.core.errors import DamagedEntry
from raysim.core.json_text import parse_json
from raysim.core.keys import Key, canonical_json, file_sha256, key_of
from raysim.core.names import is_plain
from raysim.training.upload_form import WEIGHTS

FACTS_FILE = "entry.json"
_FORMAT = 1
_PART = 1 << 20
"""Bytes that are hashed and written at a time."""


@dataclass(frozen=True)
class Entry:
    """A finished piece of work in the store.

    Attributes:
        key: of its recipe.
        folder: where its files lie.
        recipe: what it is the result of.
        info: small JSON facts of the result.
        files: for each file its ``sha256`` and ``bytes``, also for those that were evicted; the hash is empty for
            one that was never written.
        dropped: files that were evicted.
    """

    key: Key
    folder: Path
    recipe: Mapping[str, Any]
    info: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    dropped: frozenset[str] = frozenset()

    def array(self, name: str) -> npt.NDArray[Any]:
        """The array `name`, memory-mapped and read-only."""
        return np.asarray(open_array_file(self.folder / f"{name}.npy"))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays by name, memory-mapped."""
        return {name: self.array(name) for name in self.array_names()}

    def array_names(self) -> list[str]:
        """Names of all arrays, also of those that were evicted."""
        return [Path(file).stem for file in self.files if is_array(file)]

    @property
    def sent_array(self) -> str:
        """Name of the array that others read of a model: its weights, or what its client sent in their place."""
        return self.info.get("upload", {}).get("array", WEIGHTS)

    def table(self, name: str) -> pa.Table:
        """The table `name`."""
        return pq.read_table(self.folder / f"{name}.parquet")

    def num_bytes(self) -> int:
        """Size of all files that are there."""
        return sum(int(facts["bytes"]) for name, facts in self.files.items() if name not in self.dropped)


def read_entry(place: Path, key: Key, verify: bool = True) -> Entry | None:
    """The entry of `key` in the folder `place`, its facts verified and, with `verify`, its every byte; None: not there.

    Whoever can write into the store can write facts whose hash is right, so names are checked too: files that are
    evicted are deleted.

    Raises:
        DamagedEntry: it is not what was written.
    """
    try:
        if is_link(place):
            raise DamagedEntry(f"store entry {key}: is a link to another place")
        content = (place / FACTS_FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedEntry(f"store entry {key}: cannot be read: {error}") from error
    try:
        body = parse_json(content)
        digest = body.pop("sha256")
        if digest != _digest(body) or body["key"] != key or key_of(body["recipe"]) != key:
            raise DamagedEntry(f"store entry {key}: {FACTS_FILE} is not what was written")
        entry = _entry(key, place, body)
        dropped = entry.dropped
        if verify:
            for name, facts in entry.files.items():
                if name not in dropped and file_sha256(place / name) != facts["sha256"]:
                    raise DamagedEntry(f"store entry {key}: {name} is not what was written")
                if name not in dropped and is_array(name):
                    check_array_file(place / name)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DamagedEntry(f"store entry {key}: cannot be read: {error}") from error
    return entry


def _entry(key: Key, place: Path, body: Mapping[str, Any]) -> Entry:
    """The entry of facts whose hash is right.

    Raises:
        ValueError: they are none that `write_facts` writes.
    """
    files, info, dropped = body["files"], body["info"], frozenset(body.get("dropped", ()))
    sizes = [facts["bytes"] for facts in files.values()]
    texts = [facts["sha256"] for facts in files.values()] + [body["recipe"]["kind"]]
    if not (all(type(size) is int and size >= 0 for size in sizes) and all(isinstance(text, str) for text in texts)):
        raise ValueError(f"{FACTS_FILE} is of another form")
    for name in files:
        _check_name(name)
    if not isinstance(info, dict) or not dropped <= {name for name in files if is_array(name)}:
        raise ValueError(f"{FACTS_FILE} is of another form")
    return Entry(key, place, body["recipe"], info, files, dropped)


def _check_name(name: str) -> None:
    """Raises a `ValueError` unless `name` is that of an array or a table, right in the folder of its entry."""
    if not is_plain(name) or not name.endswith((".npy", ".parquet")):
        raise ValueError(f"{name!r} names no array and no table of an entry")


def write_entry(
    folder: Path,
    key: Key,
    recipe: Mapping[str, Any],
    info: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    tables: Mapping[str, pa.Table],
    facts_alone: bool = False,
) -> None:
    """Makes `folder` and writes an entry into it, durably, its facts last; with `facts_alone`, as if `arrays` had been
    evicted.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    for name in (*(f"{name}.npy" for name in arrays), *(f"{name}.parquet" for name in tables)):
        _check_name(name)
    folder.mkdir(parents=True)
    files = {}
    for name, array in arrays.items():
        files[f"{name}.npy"] = unwritten(array) if facts_alone else write_array(folder / f"{name}.npy", array)
    for name, table in tables.items():
        with _durable(folder / f"{name}.parquet") as file:
            pq.write_table(table, file)
        files[f"{name}.parquet"] = _facts(folder / f"{name}.parquet")
    dropped = frozenset(f"{name}.npy" for name in arrays) if facts_alone else frozenset()
    # Facts alone that a power cut tears are a damaged entry, which costs no more than the arrays that are nowhere.
    write_facts(folder / FACTS_FILE, Entry(key, folder, recipe, info, files, dropped), durably=not facts_alone)


def unwritten(array: npt.NDArray[Any]) -> dict[str, Any]:
    """What an entry's ``files`` say of an array that was not written."""
    return {"sha256": "", "bytes": array.nbytes}


def write_facts(path: Path, entry: Entry, durably: bool = True) -> None:
    """Writes the facts of `entry`."""
    body: dict[str, Any] = {
        "format": _FORMAT,
        "key": entry.key,
        "recipe": entry.recipe,
        "info": entry.info,
        "files": entry.files,
    }
    if entry.dropped:
        body["dropped"] = sorted(entry.dropped)
    with _durable(path) if durably else path.open("wb") as file:
        file.write(json.dumps({**body, "sha256": _digest(body)}, indent=1).encode())


def write_array(path: Path, array: npt.NDArray[Any]) -> dict[str, Any]:
    """Writes an array, durably; what an entry's ``files`` say of it."""
    with _durable(path) as file:
        hashed = _Hashed(file)
        write_array_file(hashed, array)
    return {"sha256": hashed.sha256.hexdigest(), "bytes": path.stat().st_size}


def is_link(place: Path) -> bool:
    """Whether the folder of an entry leads elsewhere; raysim makes no links, and deletes nothing through them."""
    return place.is_symlink() or place.parent.is_symlink()


def is_array(file: str) -> bool:
    """Whether a file of an entry is an array."""
    return file.endswith(".npy")


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()


class _Hashed:
    """Hashes what it writes, a part after the other, while that is in the processor's cache."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, content: bytes | memoryview) -> None:
        for start in range(0, len(content), _PART):
            part = memoryview(content)[start : start + _PART]
            self.sha256.update(part)
            self._file.write(part)


@contextmanager
def _durable(path: Path) -> Iterator[Any]:
    """A new binary file that is on the disk, not only in its cache, when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _facts(path: Path) -> dict[str, Any]:
    return {"sha256": file_sha256(path), "bytes": path.stat().st_size}
