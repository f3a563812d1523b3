"""Two filters that a process puts on itself for good, without any privilege: of system calls, and of files.

System calls by seccomp (``seccomp(2)``; on x86-64, whose numbers are listed here), files by Landlock (``landlock(7)``).
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterable

from raysim.sandbox.kernel import forbid_new_privileges, syscall

_EPERM, _EAGAIN, _ENOSYS = 1, 11, 38

_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_CLONE_THREAD = 0x00010000

DENIED = {
    # Signals to any process.
    "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
    "pidfd_send_signal": 424, "pidfd_open": 434, "pidfd_getfd": 438,
    # Other programs, sessions that outlive a kill of the group, other processes' memory.
    "execve": 59, "execveat": 322, "setsid": 112, "setpgid": 109,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "process_madvise": 440, "kcmp": 312,
    # The network. (socketpair, which reaches nobody else, stays.)
    "socket": 41, "connect": 42, "bind": 49, "listen": 50, "accept": 43, "accept4": 288,
    # Ways round this filter.
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "seccomp": 317,
    # Memory that no limit counts, and objects that outlive their process.
    "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240,
    # Attributes of files, which Landlock does not guard.
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452,
    "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260,
    "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "setxattrat": 463,
    "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "removexattrat": 466,
    "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280,
    # Namespaces, mounts, keys, and whatever else is the administrator's.
    "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442, "open_by_handle_at": 304, "name_to_handle_at": 303,
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "fanotify_init": 300,
    "add_key": 248, "request_key": 249, "keyctl": 250,
    "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320,
    "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163, "quotactl": 179, "quotactl_fd": 443, "syslog": 103,
    "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "vhangup": 153,
    "personality": 135, "mbind": 237, "migrate_pages": 256, "move_pages": 279,
    "setpriority": 141, "ioprio_set": 251, "sched_setscheduler": 144, "sched_setattr": 314, "sched_setaffinity": 203,
}  # fmt: skip
"""System calls that fail with "operation not permitted", with their numbers on x86-64."""

_FORK, _VFORK, _CLONE, _CLONE3, _PRLIMIT64 = 57, 58, 56, 435, 302


def filters_calls() -> bool:
    """Whether this machine's system calls are known here."""
    return platform.machine() == "x86_64"


def deny_system_calls() -> None:
    """Leaves this process its own memory, its files and threads; it may start no process and signal none.

    Raises:
        OSError: the kernel has no such filter, or another architecture.
    """
    if not filters_calls():
        raise OSError(f"seccomp: the numbers of system calls on {platform.machine()} are not known here")
    program = b"".join(_program())
    buffer = ctypes.create_string_buffer(program)
    descriptor = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    forbid_new_privileges()
    seccomp_set_mode_filter = 1
    syscall(DENIED["seccomp"], seccomp_set_mode_filter, 0, ctypes.byref(descriptor))


def _program() -> list[bytes]:
    """The filter in classic BPF; its data is ``struct seccomp_data``: number, architecture, two words, arguments."""
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    kill, allow, error = 0x80000000, 0x7FFF0000, 0x00050000
    number, architecture, first_argument = 0, 4, 16

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, value)

    steps = [
        step(load, architecture), step(equal, _X86_64, 1), step(answer, kill),
        step(load, number), step(at_least, _X32_BIT, 0, 1), step(answer, kill),
        step(equal, _CLONE3, 0, 1), step(answer, error | _ENOSYS),  # so that threads come by clone, whose flags show
        step(equal, _FORK, 1), step(equal, _VFORK, 0, 1), step(answer, error | _EAGAIN),
    ]  # fmt: skip
    for denied in sorted(DENIED.values()):
        steps += [step(equal, denied, 0, 1), step(answer, error | _EPERM)]
    refuse = step(answer, error | _EAGAIN)
    steps += [
        step(equal, _CLONE, 0, 3), step(load, first_argument), step(any_bit, _CLONE_THREAD, 5), refuse,
        # Limits of another process.
        step(equal, _PRLIMIT64, 0, 3), step(load, first_argument), step(equal, 0, 1), step(answer, error | _EPERM),
        step(answer, allow),
    ]  # fmt: skip
    return steps


_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, list a folder
_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15}
_MOST_RIGHTS = 16
_PATH_BENEATH = 1


def landlock_version() -> int:
    """Of Landlock in this kernel; 0: none."""
    try:
        return syscall(_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def restrict_files(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Takes every access to files from this process, except below the given paths; also TCP, and signals to outside.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = landlock_version()
    if not version:
        raise OSError("Landlock: this kernel has none")
    rights = (1 << _RIGHTS_BY_VERSION.get(version, _MOST_RIGHTS)) - 1
    network = 0b11 if version >= 4 else 0
    scopes = 0b11 if version >= 6 else 0
    # A kernel takes a longer structure than its own if the rest is zero.
    attributes = (ctypes.c_uint64 * 3)(rights, network, scopes)
    ruleset = syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    try:
        for paths, allowed in ((readable, _READ), (writable, rights)):
            for path in paths:
                _allow(ruleset, path, allowed & rights)
        forbid_new_privileges()
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place))
        syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)
