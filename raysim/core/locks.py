"""A lock between processes on a file: `flock` where the file system has it, else files whose existence counts.

Some network file systems have a `flock` that succeeds whoever holds the lock, so it is tried on every file: a second
opening of a file that this process has locked must be kept out.
"""

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What `flock` fails with on some network file systems."""

_GATE_TIMEOUT_S = 1.0
"""How long a process that shares the fallback waits for others that begin to share it in the same moment."""


@contextmanager
def try_lock(path: Path, *, shared: bool = False) -> Iterator[bool]:
    """Locks `path`, which is created if missing, until the block or the process ends; never waits for a holder.

    Without `flock`, the lock of a process that was killed is taken over on the same machine only.

    Args:
        path: the file.
        shared: several processes may hold the lock at once, but none that does not share it.

    Yields:
        whether the lock is held; False: another process holds it.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("a") as file:
        held = _flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        if held is False or (held and _keeps_out(path, file)):
            yield held
            return
    with _shared_lock(path) if shared else _exclusive_lock(path) as held:
        yield held


def _flock(file: IO[str], mode: int) -> bool | None:
    """Whether the lock could be had; None: the file system has no `flock`."""
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True


def _keeps_out(path: Path, file: IO[str]) -> bool:
    """Whether the `flock` that this process holds on `file`, opened at `path`, means anything."""
    with path.open("a") as again:
        # Its name may be another file's by now, whose lock says nothing of this one.
        is_same = os.path.samestat(os.fstat(again.fileno()), os.fstat(file.fileno()))
        return not is_same or not _flock(again, fcntl.LOCK_EX)


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[bool]:
    with _marker(_gate(path)) as held:
        yield held and not _is_shared(path)


@contextmanager
def _shared_lock(path: Path) -> Iterator[bool]:
    """Passes the gate, which an exclusive holder keeps closed, and leaves a marker of its own behind it."""
    with _marker(path.with_name(f"{path.name}.shared-{uuid.uuid4().hex}")) as held:
        with _marker(_gate(path), _GATE_TIMEOUT_S) as passed:
            pass
        yield held and passed


def _gate(path: Path) -> Path:
    return path.with_name(f"{path.name}.exclusive")


def _is_shared(path: Path) -> bool:
    """Whether a process that is alive shares the lock; markers of dead ones are removed."""
    for marker in path.parent.glob(f"{path.name}.shared-*"):
        with _marker(marker) as abandoned:
            if not abandoned:
                return True
    return False


@contextmanager
def _marker(path: Path, timeout_s: float = 0.0) -> Iterator[bool]:
    from filelock import SoftFileLock, Timeout

    lock = SoftFileLock(path, timeout=timeout_s, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
