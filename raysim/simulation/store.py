"""The store: one folder a piece of work, named by its key, written whole or not at all, checked by hash.

An entry holds flat arrays, tables and one JSON of facts. It is written beside its place and renamed into it, so a
reader sees all of it or nothing; two runs that write the same key write the same content, and the second gives way.
The arrays of an entry may be let go: its facts, its tables and the hashes of its arrays stay.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from raysim.errors import DamagedEntry, InputError, RunError
from raysim.recipe import Key, canonical_json, file_sha256, key_of

_ENTRY_FILE = "entry.json"
_FORMAT = 1
_ABANDONED_AFTER_S = 3600.0


@dataclass(frozen=True)
class Entry:
    """A finished piece of work in the store.

    Attributes:
        key: of its recipe.
        folder: where its files lie.
        recipe: what it is the result of.
        info: small JSON facts of the result.
        files: for each file its ``sha256`` and ``bytes``, also for those that were let go.
        dropped: files that were let go.
    """

    key: Key
    folder: Path
    recipe: Mapping[str, Any]
    info: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    dropped: frozenset[str] = frozenset()

    def array(self, name: str) -> npt.NDArray[Any]:
        """The array `name`, memory-mapped and read-only."""
        return np.asarray(np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays by name, memory-mapped."""
        return {name: self.array(name) for name in self.array_names()}

    def array_names(self) -> list[str]:
        """Names of all arrays, also of those that were let go."""
        return [Path(file).stem for file in self.files if _is_array(file)]

    def table(self, name: str) -> pa.Table:
        """The table `name`."""
        return pq.read_table(self.folder / f"{name}.parquet")

    def num_bytes(self) -> int:
        """Size of all files that are there."""
        return sum(int(facts["bytes"]) for name, facts in self.files.items() if name not in self.dropped)


class Store:
    """A folder of entries and of the latest checkpoints of unfinished stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._objects = folder / "objects"
        self._partial = folder / "partial"
        self._trash = folder / "damaged"
        self._leases = folder / "leases"
        try:
            for directory in (self._objects, self._partial, self._leases):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be used as a store: {error}") from None
        self._sweep()

    def has(self, key: Key) -> bool:
        """Whether there is an entry, without a look at its content."""
        return (self._place(key) / _ENTRY_FILE).is_file()

    def get(self, key: Key) -> Entry | None:
        """The entry of `key`, its every byte verified, or None.

        Raises:
            DamagedEntry: it is there, but its content is not what it was; `discard` it and compute it again.
        """
        try:
            return self._read(self._place(key), key)
        except DamagedEntry:
            if self._peek_dropped(key) is None:
                raise
            return self._read(self._place(key), key)  # its arrays were let go while they were being read

    def peek(self, key: Key) -> Entry | None:
        """The entry of `key`, its facts verified but not its files.

        Raises:
            DamagedEntry: its facts are not what was written.
        """
        return self._read(self._place(key), key, verify=False)

    def put(
        self,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]] | None = None,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> Entry:
        """Writes the result of `recipe`, or gives way to an equal entry that is there; arrays that it let go come back.

        Raises:
            RunError: the disk is full or cannot be written; nothing half-written is left. Or arrays come back other
                than they were.
        """
        key = key_of(recipe)
        there = self._peek_dropped(key)
        if there:
            self._bring_back(there, arrays or {})
        else:
            self._write(self._place(key), key, recipe, info, arrays or {}, tables or {})
        shutil.rmtree(self._partial / key, ignore_errors=True)
        entry = self.peek(key)
        assert entry is not None, "it was written just now"
        return entry

    def drop_arrays(self, key: Key) -> None:
        """Lets the arrays of `key` go, if it is there and has any; a kill leaves them, or their names as let go."""
        entry = self.peek(key)
        gone = frozenset() if entry is None else frozenset(name for name in entry.files if _is_array(name))
        if entry is None or not gone - entry.dropped:
            return
        self._write_facts(entry, gone)
        for name in gone:
            (entry.folder / name).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Key]:
        """All keys that have an entry."""
        for file in self._objects.glob(f"*/[!.]*/{_ENTRY_FILE}"):
            yield file.parent.name

    def remove(self, key: Key) -> None:
        """Deletes an entry: first its facts, so that a kill leaves none that looks whole."""
        place = self._place(key)
        (place / _ENTRY_FILE).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def lease(self, key: Key) -> Iterator[bool]:
        """Holds the work of `key` for this process, or says that another one has it; ends with the process.

        A lease saves work and guards nothing: two processes that do the same work write the same entry.
        """
        path = self._leases / key
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)

    def is_leased(self, key: Key) -> bool:
        """Whether some process does the work of `key` right now."""
        if not (self._leases / key).exists():
            return False
        with self.lease(key) as ours:
            return not ours

    def put_partial(
        self, recipe: Mapping[str, Any], step: int, info: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Replaces the checkpoint of an unfinished stage by a later one; a kill leaves the old or the new."""
        key = key_of(recipe)
        place = self._partial / key / f"{step:010d}"
        older = [folder for folder in self._checkpoints(key) if folder != place]
        self._write(place, key, recipe, info, arrays, {})
        for folder in older:
            shutil.rmtree(folder, ignore_errors=True)

    def get_partial(self, key: Key) -> Entry | None:
        """The newest checkpoint of an unfinished stage that is whole, or None."""
        for folder in reversed(self._checkpoints(key)):
            try:
                return self._read(folder, key)
            except DamagedEntry:
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def _peek_dropped(self, key: Key) -> Entry | None:
        """The entry of `key` if some of its arrays were let go."""
        try:
            entry = self.peek(key)
        except DamagedEntry:
            return None
        return entry if entry and entry.dropped else None

    def _bring_back(self, entry: Entry, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Writes arrays of `entry` that were let go, each whole or not at all, and then their names as there."""
        draft = entry.folder.with_name(f".{entry.folder.name}.{uuid.uuid4().hex}")
        try:
            draft.mkdir()
            for name in entry.dropped:
                found = _save_array(draft / name, arrays[Path(name).stem])
                if found != entry.files[name]:
                    raise RunError(
                        f"store {self.folder}: {name} of {entry.key} was let go and comes out otherwise now; its bits"
                        " were made on another kind of machine. Give another --store"
                    )
            for name in entry.dropped:
                (draft / name).replace(entry.folder / name)
            self._write_facts(entry, frozenset())
        except OSError as error:
            raise self._unwritable(entry.key, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _write_facts(self, entry: Entry, dropped: frozenset[str]) -> None:
        """Replaces the facts of an entry by ones that differ in what was let go."""
        draft = entry.folder / f".{_ENTRY_FILE}.{uuid.uuid4().hex}"
        try:
            _save_facts(draft, entry.key, entry.recipe, entry.info, entry.files, dropped)
            draft.replace(entry.folder / _ENTRY_FILE)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._unwritable(entry.key, error) from error

    def _unwritable(self, key: Key, error: OSError) -> RunError:
        return RunError(f"store {self.folder}: cannot write {key}: {error.strerror or error}; free some room")

    def discard(self, key: Key) -> None:
        """Moves a damaged entry out of the way, for a person to look at; it may be gone: another run moved it."""
        self._set_aside(self._place(key), key)

    def _set_aside(self, place: Path, key: Key) -> None:
        self._trash.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            place.rename(self._trash / f"{key}-{uuid.uuid4().hex[:8]}")

    def _sweep(self) -> None:
        """Removes drafts that a kill left behind; a fresh one may be another run's, at work right now."""
        for draft in (*self._objects.glob("*/.*"), *self._partial.glob("*/.*")):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > _ABANDONED_AFTER_S:
                    shutil.rmtree(draft, ignore_errors=True)

    def _place(self, key: Key) -> Path:
        return self._objects / key[:2] / key

    def _checkpoints(self, key: Key) -> list[Path]:
        return sorted(p.parent for p in (self._partial / key).glob(f"[0-9]*/{_ENTRY_FILE}"))

    def _write(
        self,
        place: Path,
        key: Key,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        tables: Mapping[str, pa.Table],
    ) -> None:
        if (place / _ENTRY_FILE).is_file():
            return
        draft = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
        try:
            draft.mkdir(parents=True)
            files = {}
            for name, array in arrays.items():
                files[f"{name}.npy"] = _save_array(draft / f"{name}.npy", array)
            for name, table in tables.items():
                with _durable(draft / f"{name}.parquet") as file:
                    pq.write_table(table, file)
                files[f"{name}.parquet"] = _facts(draft / f"{name}.parquet")
            _save_facts(draft / _ENTRY_FILE, key, recipe, info, files)
            try:
                draft.rename(place)
            except OSError:
                if (place / _ENTRY_FILE).is_file():
                    return
                # Entries come into being by a rename, so one without its facts is the ruin of a crash or of a person.
                self._set_aside(place, key)
                draft.rename(place)
        except OSError as error:
            raise self._unwritable(key, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _read(self, place: Path, key: Key, verify: bool = True) -> Entry | None:
        try:
            content = (place / _ENTRY_FILE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DamagedEntry(f"store entry {key}: cannot be read: {error}") from error
        try:
            body = json.loads(content)
            digest = body.pop("sha256")
            if digest != _digest(body) or body["key"] != key or key_of(body["recipe"]) != key:
                raise DamagedEntry(f"store entry {key}: {_ENTRY_FILE} is not what was written")
            dropped = frozenset(body.get("dropped", ()))
            entry = Entry(key, place, body["recipe"], body["info"], body["files"], dropped)
            if verify:
                for name, facts in entry.files.items():
                    if name not in dropped and file_sha256(place / name) != facts["sha256"]:
                        raise DamagedEntry(f"store entry {key}: {name} is not what was written")
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise DamagedEntry(f"store entry {key}: cannot be read: {error}") from error
        return entry


def _is_array(file: str) -> bool:
    return file.endswith(".npy")


def _save_facts(
    path: Path,
    key: Key,
    recipe: Mapping[str, Any],
    info: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    dropped: frozenset[str] = frozenset(),
) -> None:
    body: dict[str, Any] = {"format": _FORMAT, "key": key, "recipe": recipe, "info": info, "files": files}
    if dropped:
        body["dropped"] = sorted(dropped)
    with _durable(path) as file:
        file.write(json.dumps({**body, "sha256": _digest(body)}, indent=1).encode())


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()


@contextmanager
def _durable(path: Path) -> Iterator[Any]:
    """A new binary file that is on the disk, not only in its cache, when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _save_array(path: Path, array: npt.NDArray[Any]) -> dict[str, Any]:
    with _durable(path) as file:
        array = np.ascontiguousarray(array)
        # Not np.save, whose error on a full disk does not say that it is full.
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)
    return _facts(path)


def _facts(path: Path) -> dict[str, Any]:
    return {"sha256": file_sha256(path), "bytes": path.stat().st_size}
