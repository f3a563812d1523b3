"""What the sandbox asks of the Linux kernel that Python's `os` does not offer; no other package is needed.

Constants are those of the kernel's user-space headers (``linux/sched.h``, ``linux/mount.h``, ``linux/prctl.h``).
"""

import ctypes
import os
import platform
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18

_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_READ_ONLY = 0x1 | MS_NOSUID | MS_NODEV
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SIGKILL = 9

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def call(name: str, *arguments: object) -> int:
    """Calls a function of the C library.

    Raises:
        OSError: it failed, or there is no such function.
    """
    function = getattr(_libc, name, None)
    if function is None:
        raise OSError(f"{name}: this system has no such call")
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: object) -> int:
    """Calls the kernel by number; pointers and lengths as 64 bits.

    Raises:
        OSError: it failed.
    """
    widened = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return call("syscall", ctypes.c_long(number), *widened)


def unshare(flags: int) -> None:
    """Moves this process into new namespaces; see ``unshare(2)``."""
    call("unshare", ctypes.c_int(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """See ``mount(2)``."""
    call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())


def make_read_only(path: str, recursive: bool) -> None:
    """Makes a mount (and those below it) read-only, without devices and without programs that change their user."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_READ_ONLY, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    syscall(_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def enter_root(root: Path) -> None:
    """Makes the mount `root` the root of this mount namespace; what was mounted before is gone."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"pivot_root: its number on {platform.machine()} is not known here")
    os.chdir(root)
    syscall(number, b".", b".")
    call("umount2", b".", ctypes.c_int(_MNT_DETACH))
    os.chdir("/")


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent has ended."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def hide_memory() -> None:
    """No other process without capabilities may trace this one, read its memory or take its files."""
    _prctl(_PR_SET_DUMPABLE, 0)


def forbid_new_privileges() -> None:
    """Whatever this process executes gains no privilege; filters need it."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Gives up every capability for good, root's too."""
    for capability in range(64):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError:  # there are no more, or it has none to give up
            break
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def _prctl(option: int, value: int) -> None:
    call("prctl", ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
