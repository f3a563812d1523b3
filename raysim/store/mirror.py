"""Keeps a run folder and its store on an object store: a run works in a folder of its machine, and this copies it.

What is new goes up every few seconds and at the end; a run that begins on another machine, or after a kill, first
brings down what is there. The facts of an entry, by which it counts as one, go up after its files, are deleted before
them, and come down last: so a torn copy is never taken for an entry, neither there nor here. A URL is for one run at a
time.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from raysim.core.errors import RunError
from raysim.core.names import is_plain
from raysim.core.remote_folder import RemoteFolder
from raysim.store.entries import FACTS_FILE

EVERY_S = 5.0
"""Between two looks for what is new."""

_ENTRIES = ("objects", "partial")
"""Folders of a store whose files never change their content, but for what the facts say of evicted arrays."""
_OF_THIS_MACHINE = ("leases", "damaged")
_KEPT_HIDDEN = ".secret"
"""The key of a run's line hashes."""


class _State(NamedTuple):
    """By which a change of a file is seen."""

    num_bytes: int
    modified_ns: int


class Mirror:
    """Copies the files of a folder to a remote one.

    Args:
        folder: of a run, or of a sweep.
        remote: what is to be like it.
    """

    def __init__(self, folder: Path, remote: RemoteFolder) -> None:
        self._folder = folder
        self._remote = remote
        self._there: dict[str, int] = {}
        self._copied: dict[str, _State] = {}

    def pull(self, note: Callable[[str], None] = lambda _: None) -> None:
        """Brings down what is there, and says so to `note` before it does.

        Files of entries that are here stay, and so does the longer one of two logs, to which lines are added; else what
        is there is taken to be newer. An entry there without its facts is torn, and left alone.

        Raises:
            RunError: the remote folder cannot be read.
        """
        self._there = {name: size for name, size in self._remote.list() if _is_safe(name)}
        names = [name for name in sorted(self._there, key=_is_facts) if self._is_newer_there(name)]
        if names:
            num_bytes = sum(self._there[name] for name in names)
            note(f"{len(names)} files, {num_bytes / 1e6:,.1f} MB, are brought from {self._remote.url}")
        for name in names:
            self._bring(name)

    def push(self) -> None:
        """Makes the remote folder like this one; what this machine never had is left alone there.

        Raises:
            RunError: the remote folder cannot be written.
        """
        found = self._files()
        evicted: set[str] = set()
        for name in sorted(found, key=lambda name: (_is_facts(name), found[name].modified_ns)):
            folder, state = name.rpartition("/")[0], found[name]
            if self._copied.get(name) == state or folder in evicted:
                continue
            known = name not in self._copied and _is_of_entry(name) and self._there.get(name) == state.num_bytes
            try:
                if not known:
                    self._remote.upload(self._folder / name, name)
            except FileNotFoundError:
                evicted.add(folder)  # just now; the facts that say so come next time
                continue
            self._there[name], self._copied[name] = state.num_bytes, state
        for name in sorted(self._copied.keys() - found, key=_is_facts, reverse=True):
            if not (self._folder / name).exists():
                self._remote.delete(name)
                del self._there[name], self._copied[name]

    def _is_newer_there(self, name: str) -> bool:
        if _is_of_entry(name) and f"{name.rpartition('/')[0]}/{FACTS_FILE}" not in self._there:
            return False  # torn
        here = self._folder / name
        if not here.exists():
            return True
        is_shorter_log = name.endswith(".jsonl") and self._there[name] <= here.stat().st_size
        return not (_is_of_entry(name) or is_shorter_log)

    def _bring(self, name: str) -> None:
        here = self._folder / name
        self._remote.download(name, here)
        found = here.stat()
        self._copied[name] = _State(found.st_size, found.st_mtime_ns)

    def _files(self) -> dict[str, _State]:
        """What there is here to copy, by name; links lead elsewhere."""
        found = {}
        for folder, below, files in os.walk(self._folder):
            below[:] = [name for name in below if is_plain(name) and name not in _OF_THIS_MACHINE]
            for file in files:
                path = Path(folder, file)
                if (is_plain(file) or file == _KEPT_HIDDEN) and not path.is_symlink():
                    with suppress(FileNotFoundError):
                        state = path.stat()
                        found[path.relative_to(self._folder).as_posix()] = _State(state.st_size, state.st_mtime_ns)
        return found


def _is_safe(name: str) -> bool:
    """Whether a name that a remote folder gives lies below a folder here, and is one that `push` gives."""
    *folders, file = name.split("/")
    return all(map(is_plain, folders)) and (is_plain(file) or file == _KEPT_HIDDEN)


def _is_facts(name: str) -> bool:
    return name.rpartition("/")[2] == FACTS_FILE


def _is_of_entry(name: str) -> bool:
    """Whether a file is one of an entry, or of a checkpoint, of a store."""
    return any(part in _ENTRIES for part in name.split("/")[:-1])


@contextmanager
def mirrored(
    folder: Path, remote: RemoteFolder, note: Callable[[str], None], every_s: float = EVERY_S
) -> Iterator[None]:
    """Keeps `remote` like `folder` while the block lasts, by a thread; first brings down what is there.

    Args:
        folder: is made.
        remote: what is to be like it.
        note: receives a line before what is there is brought, and where a copy failed, which is tried again.
        every_s: between two copies.

    Raises:
        RunError: the last copy failed, so that something is in `folder` alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mirror, ended = Mirror(folder, remote), threading.Event()
    mirror.pull(note)
    thread = threading.Thread(target=_push_until, args=(mirror, ended, note, every_s), name="mirror", daemon=True)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join()
        try:
            mirror.push()
        except RunError as error:
            left = f"{error}; what is not there is in {folder}, and the same command goes on from it"
            raise RunError(left) from None

    try:
        yield
    except BaseException:
        try:
            end()
        except RunError as error:
            note(str(error))
        raise
    end()


def _push_until(mirror: Mirror, ended: threading.Event, note: Callable[[str], None], every_s: float) -> None:
    """Pushes every `every_s` seconds until `ended`; of failures in a row the first is noted."""
    failed = False
    while not ended.wait(every_s):
        try:
            mirror.push()
            failed = False
        except RunError as error:
            if not failed:
                note(f"{error}; it is tried again")
            failed = True
