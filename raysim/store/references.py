"""Who refers to what in a store: a file for each run in ``STORE/runs``, and a lock that keeps the store still.

A store may be shared by many runs. What a run refers to is never removed, nor are arrays evicted that it counts on.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raysim.core.errors import InputError, os_errors
from raysim.core.keys import Key
from raysim.core.locks import try_lock

_PATIENCE_S = 10.0
"""How long a run waits for whoever has the store alone, such as another run that sweeps it as it starts."""

_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True)
class RunReferences:
    """What one run refers to.

    Attributes:
        folder: of the run.
        keys: of all entries that its tables rest on, or that it is going to make.
        arrays: those whose arrays it counts on.
    """

    folder: Path
    keys: frozenset[Key]
    arrays: frozenset[Key]

    @property
    def alive(self) -> bool:
        """Whether the run folder is there still."""
        return (self.folder / "manifest.json").is_file()


class References:
    """What all runs refer to in the store in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._store = folder.resolve()
        self._folder = self._store / "runs"
        self._lock = self._store / ".lock"

    def write(self, run: Path, keys: Iterable[Key], arrays: Iterable[Key]) -> None:
        """Replaces what the run in the folder `run` refers to.

        Raises:
            RunError: the disk is full or cannot be written.
        """
        body = {
            "run": self._relative(run),
            "keys": sorted(set(keys)),
            "arrays": sorted(set(arrays)),
        }
        path = self._path(run)
        draft = path.with_suffix(".new")
        with os_errors(path, begun=True):
            self._folder.mkdir(exist_ok=True)
            try:
                draft.write_text(json.dumps(body), encoding="utf-8")
                draft.replace(path)
            except OSError:
                draft.unlink(missing_ok=True)
                raise

    def of(self, run: Path) -> RunReferences | None:
        """What the run in the folder `run` refers to."""
        path = self._path(run)
        return self._read(path) if path.exists() else None

    def all(self) -> list[RunReferences]:
        """What every run refers to, whether or not it is there still.

        Raises:
            InputError: a file that cannot be read: better nothing is removed than something that a run refers to.
        """
        return [self._read(path) for path in sorted(self._folder.glob("*.json"))]

    def forget_gone(self) -> None:
        """Deletes the files of runs whose folder is gone."""
        for path in self._folder.glob("*.json"):
            if not self._read(path).alive:
                path.unlink(missing_ok=True)

    def arrays_of_others(self, run: Path) -> Set[Key]:
        """Keys whose arrays some other run counts on that is there still."""
        mine = self._path(run)
        others = [self._read(path) for path in self._folder.glob("*.json") if path != mine]
        return frozenset().union(*(other.arrays for other in others if other.alive))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keeps `alone` out while the block runs; many may be at work at once.

        Raises:
            InputError: the store is being tidied up, and that takes long.
        """
        with self._locked(True, "`raysim store gc` is at work there", _PATIENCE_S):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Has the store for this process alone.

        Raises:
            InputError: a run is at work in it.
        """
        with self._locked(False, "a run is at work in it"):
            yield

    @contextmanager
    def _locked(self, shared: bool, why: str, patience_s: float = 0.0) -> Iterator[None]:
        deadline_s = time.monotonic() + patience_s
        while True:
            with try_lock(self._lock, shared=shared) as held:
                if held:
                    yield
                    return
            if time.monotonic() >= deadline_s:
                raise InputError(f"store {self._store}: {why}; wait for it to end")
            time.sleep(_LOOK_AGAIN_S)

    def _read(self, path: Path) -> RunReferences:
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            run = (self._store / body["run"]).resolve()
            return RunReferences(run, frozenset(body["keys"]), frozenset(body["arrays"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: cannot be read ({error}); run the run that it belongs to again, or delete the file if that"
                " run is gone"
            ) from None

    def _relative(self, run: Path) -> str:
        """The way from the store to a run folder: the two may move together."""
        return os.path.relpath(run.resolve(), self._store)

    def _path(self, run: Path) -> Path:
        return self._folder / f"{hashlib.sha256(self._relative(run).encode()).hexdigest()[:16]}.json"
