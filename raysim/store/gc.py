"""`raysim store`: what lies in a store, which run needs it, and how to be rid of the rest."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysim.core.errors import DamagedEntry, InputError
from raysim.core.keys import Key, is_key
from raysim.core.run_folder import RunFolder
from raysim.store.entries import Entry
from raysim.store.references import References, RunReferences
from raysim.store.store import Store
from raysim.store.task_log import read_log


@dataclass(frozen=True)
class _Contents:
    """A store, its entries, those of them whose facts are damaged, and what the runs refer to that are there still."""

    store: Store
    entries: dict[Key, Entry]
    damaged: list[Path]
    references: list[RunReferences]

    def referred(self) -> frozenset[Key]:
        return frozenset().union(*(run.keys for run in self.references))

    def counted_on(self) -> frozenset[Key]:
        return frozenset().union(*(run.arrays for run in self.references))

    def left_over(self) -> list[Path]:
        """Arrays that are there though they count as evicted: a kill came between the two."""
        named = (entry.folder / name for entry in self.entries.values() for name in entry.dropped)
        return [path for path in named if path.is_file()]


def find_store(path: Path) -> Path:
    """The store that `path` is, or that the run in `path` has.

    Raises:
        InputError: neither.
    """
    of_run = not (path / "objects").is_dir() and (path / "manifest.json").is_file()
    store = RunFolder.reopen(path).store if of_run else path
    if (store / "objects").is_dir():
        return store
    raise InputError(f"{path}: neither a store (a folder with 'objects' in it) nor the folder of a run that has one")


def store_usage(path: Path) -> dict[str, Any]:
    """Entries and bytes of a store by kind of work, and for each run what it needs, and what it alone needs."""
    folder = find_store(path)
    contents = _read(folder)
    kinds: dict[str, dict[str, int]] = {}
    for entry in contents.entries.values():
        row = kinds.setdefault(str(entry.recipe["kind"]), {"entries": 0, "bytes": 0, "arrays let go": 0})
        row["entries"] += 1
        row["bytes"] += entry.num_bytes()
        row["arrays let go"] += bool(entry.dropped)
    runs = []
    for run in contents.references:
        others = [other.keys for other in contents.references if other is not run]
        alone = run.keys - frozenset().union(*others)
        runs.append({"run": str(run.folder), **_sizes(contents, run.keys), "alone": _sizes(contents, alone)})
    unreferenced = frozenset(contents.entries) - contents.referred()
    return {
        "store": str(folder),
        **_sizes(contents, frozenset(contents.entries)),
        "kinds": kinds,
        "runs": runs,
        "no run": _sizes(contents, unreferenced),
        "damaged": len(contents.damaged),
    }


def collect_garbage(path: Path, dry_run: bool) -> dict[str, Any]:
    """Removes what no run refers to: entries, arrays that none counts on, checkpoints of work that is done or unwanted.

    Args:
        path: of a store, or of a run.
        dry_run: only counts.

    Raises:
        InputError: no store, a run is at work in it, or no run refers to anything in it.
    """
    folder = find_store(path)
    with References(folder).alone():
        contents = _read(folder)
        referred, counted_on = contents.referred(), contents.counted_on()
        if contents.entries and not referred:
            raise InputError(
                f"store {folder}: no run that is there still refers to it; if it is not needed, delete the folder"
            )
        removed = frozenset(contents.entries) - referred
        dropped = [
            entry
            for key, entry in contents.entries.items()
            if key in referred - counted_on and set(entry.array_names()) - {Path(n).stem for n in entry.dropped}
        ]
        freed = sum(contents.entries[key].num_bytes() for key in removed)
        freed += sum(int(e.files[f"{name}.npy"]["bytes"]) for e in dropped for name in e.array_names())
        unfinished = [place for place in (folder / "partial").glob("*") if is_key(place.name)]
        leftovers = [place for place in unfinished if place.name in contents.entries or place.name not in referred]
        leftovers += [p for p in (folder / "damaged").glob("*-*") if p.is_dir() and is_key(p.name.partition("-")[0])]
        leftovers += contents.damaged
        stray = contents.left_over()
        freed += sum(file.stat().st_size for p in leftovers for file in p.rglob("*") if file.is_file())
        freed += sum(file.stat().st_size for file in stray)
        if not dry_run:
            for key in removed:
                contents.store.remove(key)
            for entry in dropped:
                contents.store.drop_arrays(entry.key)
            for leftover in leftovers:
                shutil.rmtree(leftover, ignore_errors=True)
            for file in stray:
                file.unlink(missing_ok=True)
            contents.store.sweep()
            References(folder).forget_gone()
    return {
        "store": str(folder),
        "removed": len(removed),
        "arrays let go": len(dropped),
        "checkpoints and damaged entries": len(leftovers),
        "bytes": freed,
        "kept": len(contents.entries) - len(removed),
    }


def _read(folder: Path) -> _Contents:
    store = Store(folder)
    entries, damaged = {}, []
    for place in store.places():
        try:
            entry = store.peek(place.name)
        except DamagedEntry:
            damaged.append(place)
        else:
            entries |= {entry.key: entry} if entry else {}
    return _Contents(store, entries, damaged, [_whole(run) for run in References(folder).all() if run.alive])


def _whole(run: RunReferences) -> RunReferences:
    """Adds what the stage log of a run names that has not ended."""
    folder = RunFolder(run.folder)
    if folder.is_finished():
        return run
    done = frozenset(key for row in read_log(folder.stages) if isinstance(key := row.get("key"), str))
    return RunReferences(run.folder, run.keys | done, run.arrays | done)


def _sizes(contents: _Contents, keys: frozenset[Key]) -> Mapping[str, int]:
    there = [contents.entries[key] for key in keys if key in contents.entries]
    return {"entries": len(there), "bytes": sum(entry.num_bytes() for entry in there)}
