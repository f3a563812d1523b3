"""Isolation of a program: namespaces around it, filters and limits on it. All for good, none needs root.

See `raysim.sandbox.sandbox` for what it stops and what it does not.
"""

import contextlib
import os
import resource
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from raysim.sandbox import kernel
from raysim.sandbox.filters import deny_system_calls, restrict_files

NAMESPACES, SYSTEM_CALLS, FILES = "namespaces", "system calls", "files"
LAYERS = (NAMESPACES, SYSTEM_CALLS, FILES)
"""Isolation layers that a machine may lack. Which of them suffice: see `raysim.sandbox.sandbox.enough`."""

NOBODY = 65534
"""Unprivileged user that root becomes."""

_WORK = "/program"
"""In a root of its own; not /tmp, where Python may be installed."""
_BUILD = "/sys"
"""Where a root is built: every Linux has the folder, and what lies below is not needed."""
_NULL = "/dev/null"
_DEVICES = (_NULL, "/dev/zero", "/dev/urandom", "/dev/random")
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")
_OPEN_FILES = 64


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    Attributes:
        cpu_s: processor time of its process, in whole seconds.
        wall_s: time until it is killed.
        memory_bytes: address space of its process.
        file_bytes: of one file; with namespaces of all its files together, which lie in memory.
        processes: it and its threads; with namespaces alone, other processes too.
    """

    cpu_s: int = 3
    wall_s: float = 12.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 1 << 24
    processes: int = 32


def readable_paths(python: Iterable[str]) -> list[str]:
    """What a program may read: the system's libraries and the folders of Python that are given, none inside another."""
    paths = sorted({os.path.realpath(path) for path in (*_SYSTEM, *python) if os.path.exists(path)})
    return [p for p in paths if not any(p.startswith(f"{other}/") for other in paths)]


def enter_namespaces() -> None:
    """Gives this process users, network, mounts and message queues of its own. Who maps its users must act next."""
    kernel.unshare(
        kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    )


def map_users(pid: int) -> None:
    """Says who the user of a process in a new user namespace is: still itself, and of root's also `NOBODY`.

    Raises:
        OSError: this system does not allow it.
    """
    process = Path("/proc") / str(pid)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        with contextlib.suppress(OSError):  # where root is none outside
            both = f"0 0 1\n{NOBODY} {NOBODY} 1\n"
            (process / "uid_map").write_text(both)
            (process / "gid_map").write_text(both)
            return
    (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"{user} {user} 1\n")
    (process / "gid_map").write_text(f"{group} {group} 1\n")


def build_root(readable: Iterable[str]) -> None:
    """Makes a new root, with `readable` and a few devices in it, read-only, and nothing else."""
    folder = Path(_BUILD)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", str(folder), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    for path in (*readable, *_DEVICES):
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir() if os.path.isdir(path) else target.touch()
        kernel.mount(path, str(target), "", kernel.MS_BIND | kernel.MS_REC)
        if path not in _DEVICES:
            kernel.make_read_only(str(target), recursive=True)
    for link in _SYSTEM:  # /lib is often a link into /usr
        if os.path.islink(link) and not (folder / link.lstrip("/")).exists():
            (folder / link.lstrip("/")).symlink_to(os.readlink(link))
    (folder / _WORK.lstrip("/")).mkdir(exist_ok=True)
    kernel.enter_root(folder)
    kernel.make_read_only("/", recursive=False)


def enter_run_namespaces() -> None:
    """Gives the next child of this process process numbers and mounts of its own."""
    kernel.unshare(kernel.CLONE_NEWPID | kernel.CLONE_NEWNS)


def mount_work(limits: Limits) -> str:
    """An empty folder in memory that goes with its mount namespace."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", _WORK, "tmpfs", flags, f"size={limits.file_bytes},nr_inodes=1024,mode=0777")
    return _WORK


@contextlib.contextmanager
def temporary_work() -> Iterator[str]:
    """An empty folder on disk, removed at the end."""
    folder = tempfile.mkdtemp(prefix="raysim-program-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def limit(limits: Limits, counted: bool) -> None:
    """Sets the limits of this process; `counted`: whether its processes are counted apart from its user's others."""
    bounds = {
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if counted:
        bounds[resource.RLIMIT_NPROC] = limits.processes
    for what, most in bounds.items():
        # A second more until the kill that no program can catch.
        hard = most + 1 if what == resource.RLIMIT_CPU else most
        _, before = resource.getrlimit(what)
        hard = hard if before == resource.RLIM_INFINITY else min(hard, before)
        resource.setrlimit(what, (min(most, hard), hard))


def isolate(layers: Iterable[str], limits: Limits, readable: Iterable[str], work: str | None) -> None:
    """Puts every limit and filter on this process, which can never take them off again.

    Args:
        layers: to be in force.
        limits: of this process.
        readable: paths that it may read.
        work: folder that it may write to; None: none.
    """
    layers = tuple(layers)
    os.chdir(work or "/")
    os.umask(0o077)
    if FILES in layers:
        restrict_files(readable, [*([work] if work else []), *_DEVICES])
    limit(limits, counted=NAMESPACES in layers)
    if NAMESPACES in layers and os.geteuid() == 0:
        with contextlib.suppress(OSError):  # where nobody is not mapped, root of this namespace is nobody outside
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.drop_capabilities()
    kernel.forbid_new_privileges()
    if SYSTEM_CALLS in layers:
        deny_system_calls()
