"""The store: one folder a piece of work, named by its key, written whole or not at all, checked by hash.

An entry holds flat arrays, tables and one JSON of facts. It is written beside its place and renamed into it, so a
reader sees all of it or nothing; two runs that write the same key write the same content, and the second gives way.
The arrays of an entry may be evicted: its facts, its tables and the hashes of its arrays stay.
"""

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.errors import DamagedEntry, Diverged, RunError, os_error
from raysim.core.keys import Key, is_key, key_of
from raysim.core.locks import try_lock
from raysim.store.entries import (
    FACTS_FILE,
    Entry,
    is_array,
    is_link,
    read_entry,
    write_array,
    write_entry,
    write_facts,
)

_DRAFT = re.compile(r"\.[0-9a-f]{10,32}\.[0-9a-f]{32}")
"""Beside the place of an entry, or of a checkpoint, while it is being written."""


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
            found = os_error(error)
            raise type(found)(f"{folder}: cannot be used as a store: {found}") from None

    def has(self, key: Key) -> bool:
        """Whether there is an entry, without a look at its content."""
        return (self._place(key) / FACTS_FILE).is_file()

    def get(self, key: Key) -> Entry | None:
        """The entry of `key`, its every byte verified, or None.

        Raises:
            DamagedEntry: it is there, but its content is not what it was; `discard` it and compute it again.
        """
        try:
            return read_entry(self._place(key), key)
        except DamagedEntry:
            if self._peek_dropped(key) is None:
                raise
            return read_entry(self._place(key), key)  # its arrays were evicted while they were being read

    def peek(self, key: Key) -> Entry | None:
        """The entry of `key`, its facts verified but not its files.

        Raises:
            DamagedEntry: its facts are not what was written.
        """
        return read_entry(self._place(key), key, verify=False)

    def put(
        self,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]] | None = None,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> Entry:
        """As `write`, of arrays of which it is not known whether they are finite.

        Raises:
            Diverged: an array has no finite norm.
            RunError: as `write`.
        """
        refuse_diverged(arrays or {})
        return self.write(recipe, info, arrays, tables)

    def write(
        self,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]] | None = None,
        tables: Mapping[str, pa.Table] | None = None,
    ) -> Entry:
        """Writes the result of `recipe`, or gives way to an equal entry that is there; evicted arrays come back.

        Raises:
            RunError: the disk is full or cannot be written; nothing half-written is left. Or arrays come back other
                than they were.
        """
        key = key_of(recipe)
        there = self._peek_dropped(key)
        if there:
            self._restore_arrays(there, arrays or {})
        else:
            self._write(self._place(key), key, recipe, info, arrays or {}, tables or {})
        return self._written(key)

    def note(self, recipe: Mapping[str, Any], info: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Entry:
        """As `write`, of the facts alone: arrays that nobody will read here count as evicted, with hashes unknown.

        Raises:
            RunError: the disk is full or cannot be written.
        """
        key = key_of(recipe)
        self._write(self._place(key), key, recipe, info, arrays, {}, facts_alone=True)
        return self._written(key)

    def drop_arrays(self, key: Key) -> None:
        """Evicts the arrays of `key`, if it is there and has any; a kill leaves them, or their names as evicted."""
        entry = self.peek(key)
        gone = frozenset() if entry is None else frozenset(name for name in entry.files if is_array(name))
        if entry is None or not gone - entry.dropped:
            return
        self._write_facts(entry, gone)
        for name in gone:
            (entry.folder / name).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Key]:
        """All keys that have an entry."""
        return (place.name for place in self.places())

    def places(self) -> Iterator[Path]:
        """The folders of all entries, each named by its key."""
        places = (file.parent for file in self._objects.glob(f"*/[!.]*/{FACTS_FILE}"))
        return (place for place in places if is_key(place.name) and not is_link(place))

    def remove(self, key: Key) -> None:
        """Deletes an entry: first its facts, so that a kill leaves none that looks whole."""
        place = self._place(key)
        (place / FACTS_FILE).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)

    def sweep(self) -> None:
        """Removes what kills left half-written, and the code of organizations that earlier versions put here.

        Only for whoever has the store alone: a draft may be at work.
        """
        shutil.rmtree(self.folder / "shards", ignore_errors=True)
        for draft in (*self._objects.glob("*/.*.*"), *self._partial.glob("*/.*.*")):
            if _DRAFT.fullmatch(draft.name):
                shutil.rmtree(draft, ignore_errors=True)
        leases = (lease for lease in self._leases.glob("*") if is_key(lease.name))
        for draft in (*(file for place in self.places() for file in place.glob(f".{FACTS_FILE}.*")), *leases):
            draft.unlink(missing_ok=True)

    @contextmanager
    def lease(self, key: Key) -> Iterator[bool]:
        """Holds the work of `key` for this process, or says that another one has it; ends with the process.

        A lease saves work and guards nothing: two processes that do the same work write the same entry.
        """
        path = self._leases / key
        with try_lock(path) as held:
            try:
                yield held
            finally:
                if held:
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
        """Replaces the checkpoint of an unfinished stage by a later one; a kill leaves the old or the new.

        Raises:
            Diverged: an array has no finite norm.
            RunError: the disk is full or cannot be written.
        """
        key = key_of(recipe)
        refuse_diverged(arrays)
        place = self._partial / key / f"{step:010d}"
        older = [folder for folder in self._checkpoints(key) if folder != place]
        self._write(place, key, recipe, info, arrays, {})
        for folder in older:
            shutil.rmtree(folder, ignore_errors=True)

    def has_partial(self, key: Key) -> bool:
        """Whether there is something of a checkpoint of an unfinished stage, without a look at it."""
        return (self._partial / key).is_dir()

    def get_partial(self, key: Key) -> Entry | None:
        """The newest checkpoint of an unfinished stage that is whole, or None."""
        for folder in reversed(self._checkpoints(key)):
            try:
                return read_entry(folder, key)
            except DamagedEntry:
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def _written(self, key: Key) -> Entry:
        """The entry that has just been written, whose checkpoints are of no more use."""
        if self.has_partial(key):
            shutil.rmtree(self._partial / key, ignore_errors=True)
        entry = self.peek(key)
        assert entry is not None, "it was written just now"
        return entry

    def _peek_dropped(self, key: Key) -> Entry | None:
        """The entry of `key` if some of its arrays were evicted."""
        try:
            entry = self.peek(key)
        except DamagedEntry:
            return None
        return entry if entry and entry.dropped else None

    def _restore_arrays(self, entry: Entry, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Writes arrays of `entry` that were evicted, each whole or not at all, and then their names as there."""
        draft = entry.folder.with_name(f".{entry.folder.name}.{uuid.uuid4().hex}")
        files = dict(entry.files)
        try:
            draft.mkdir()
            for name in entry.dropped:
                found = files[name] = write_array(draft / name, arrays[Path(name).stem])
                if entry.files[name]["sha256"] and found != entry.files[name]:
                    raise RunError(
                        f"store {self.folder}: {name} of {entry.key} was evicted and comes out otherwise now; its bits"
                        " were made on another kind of machine. Give another --store"
                    )
            for name in entry.dropped:
                (draft / name).replace(entry.folder / name)
            self._write_facts(replace(entry, files=files), frozenset())
        except OSError as error:
            raise self._unwritable(entry.key, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _write_facts(self, entry: Entry, dropped: frozenset[str]) -> None:
        """Replaces the facts of an entry by ones that differ in what was evicted."""
        draft = entry.folder / f".{FACTS_FILE}.{uuid.uuid4().hex}"
        try:
            write_facts(draft, replace(entry, dropped=dropped))
            draft.replace(entry.folder / FACTS_FILE)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._unwritable(entry.key, error) from error

    def _unwritable(self, key: Key, error: OSError) -> RunError:
        return RunError(f"store {self.folder}: cannot write {key}: {os_error(error, begun=True)}")

    def discard(self, key: Key) -> None:
        """Moves a damaged entry out of the way, for a person to look at; it may be gone: another run moved it."""
        self._set_aside(self._place(key), key)

    def _set_aside(self, place: Path, key: Key) -> None:
        self._trash.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            place.rename(self._trash / f"{key}-{uuid.uuid4().hex[:8]}")

    def _place(self, key: Key) -> Path:
        if not is_key(key):
            raise DamagedEntry(f"store {self.folder}: {key!r} is no key; whatever names it is not what was written")
        return self._objects / key[:2] / key

    def _checkpoints(self, key: Key) -> list[Path]:
        return sorted(p.parent for p in (self._partial / key).glob(f"[0-9]*/{FACTS_FILE}"))

    def _write(
        self,
        place: Path,
        key: Key,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        tables: Mapping[str, pa.Table],
        facts_alone: bool = False,
    ) -> None:
        if (place / FACTS_FILE).is_file():
            return
        draft = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
        try:
            write_entry(draft, key, recipe, info, arrays, tables, facts_alone)
            try:
                draft.rename(place)
            except OSError:
                if (place / FACTS_FILE).is_file():
                    return
                # Entries come into being by a rename, so one without its facts is the ruin of a crash or of a person.
                self._set_aside(place, key)
                draft.rename(place)
        except OSError as error:
            raise self._unwritable(key, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def refuse_diverged(arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuses arrays whose norm is no finite float32: no model with such weights computes a number.

    Raises:
        Diverged: one has none.
    """
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        flat = array.reshape(-1)
        with np.errstate(all="ignore"):
            # Of half precision, whose squares overflow early, every number is looked at.
            finite = bool(np.isfinite(np.dot(flat, flat) if array.itemsize > 2 else flat).all())
        if not finite:
            raise Diverged(
                f"{name} are not finite or too large: training has diverged; lower trainer.learning_rate, or the"
                " strategy's own rate, such as eta"
            )
