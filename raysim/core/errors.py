"""The errors that a person sees. Each has the exit code of the command that it ends.

Every message names the field or file, what was found, and what to do. All of them carry one string, so that they
survive pickling on their way out of an actor.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RaysimError(Exception):
    """Base of all errors that raysim raises on purpose."""

    exit_code = 3


class RenamedSetting(FutureWarning):
    """A setting goes by a new name; the old one is still read."""


class Adjusted(UserWarning):
    """Something is taken otherwise than it was given, and a person should know."""


class InputError(RaysimError):
    """The experiment, a path or an option is wrong: nothing was started."""

    exit_code = 2


class BoundaryError(InputError):
    """Something would leave an organization that its agreement does not allow to leave."""


class CheckFailed(RaysimError):
    """A check ran to its end and found a difference."""

    exit_code = 1


class RunError(RaysimError):
    """A run could not go on; what was finished is kept, and the same command resumes."""

    exit_code = 3


class Diverged(RunError):
    """Training has left the numbers that float32 can hold: the same settings would do so again."""


class DamagedEntry(RunError):
    """A store entry does not have the content that its hash promises."""


class ActorLost(RunError):
    """The process that did a piece of work is gone, or something that it held: the work itself is as good as before."""


class NodeLeaves(ActorLost):
    """The node of a piece of work is about to go, and what it had done so far is handed over: no failure."""


class OutOfMemory(ActorLost):
    """Memory ran out under a piece of work; the message names the setting to lower."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, as far as one line holds it, or what it is where it says nothing.

    What would begin another line somewhere, or moves a terminal's cursor, is written as Python writes it.
    """
    line = str(error).strip().partition("\n")[0].strip() or repr(error)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


_ADVICE: dict[type[RaysimError], dict[str, str]] = {
    InputError: {
        "ENOENT ENOTDIR": "make it, or name another",
        "EEXIST EISDIR ENOTEMPTY ELOOP EXDEV": "name another",
        "ENAMETOOLONG": "name a shorter one",
        "EACCES EPERM": "let this user read and write it, or name another",
        "EROFS": "name a place that can be written",
    },
    RunError: {
        "ENOSPC EDQUOT": "free some room",
        "EFBIG": "name a place on another file system, or raise the limit (ulimit -f)",
        "EMFILE ENFILE": "raise the limit of open files (ulimit -n)",
        "EAGAIN": "raise the limit of processes (ulimit -u)",
        "ENOMEM": "free some memory",
        "ENOSYS ENOLCK EOPNOTSUPP": "its file system cannot do this: name a place on another",
    },
}
"""What to do about errors of the operating system, by their names, and whose fault they are."""

_KNOWN = {
    getattr(errno, name): (kind, advice)
    for kind, group in _ADVICE.items()
    for names, advice in group.items()
    for name in names.split()
}

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""How numpy says that a disk is full."""


def os_error(error: OSError, begun: bool = False) -> RaysimError:
    """What an error of the operating system means, in one line: which path, what is wrong with it, and what to do.

    Args:
        error: without an error number, too, as libraries raise it.
        begun: whether work has begun, which can go on later: then it is never the input's fault.
    """
    number, reason = error.errno, error.strerror or " ".join(map(str, error.args)).strip() or type(error).__name__
    if number is None and _SHORT_WRITE.search(reason):
        number, reason = errno.ENOSPC, os.strerror(errno.ENOSPC)
    kind, advice = _KNOWN.get(number or 0, (RunError, ""))
    if number is None and "AF_UNIX path" in reason:
        kind, advice = InputError, "name a folder with a shorter path, for example TMPDIR=/tmp"
    kind = RunError if begun else kind
    again = "run the same command again" if kind is RunError else ""
    place = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename or "")
    told = "; ".join([": ".join(filter(None, [place, reason])), ", then ".join(filter(None, [advice, again]))])
    return kind("".join(c if c.isprintable() else ascii(c)[1:-1] for c in told))


@contextmanager
def os_errors(path: Path | None = None, begun: bool = False) -> Iterator[None]:
    """Raises what an error of the operating system means that comes from the block.

    Args:
        path: that the block reads or writes; an error that names one itself keeps it.
        begun: as for `os_error`.

    Raises:
        InputError: something is wrong with a path, and nothing has begun.
        RunError: anything else.
    """
    try:
        yield
    except OSError as error:
        if path and error.filename is None:
            error.filename = str(path)
        raise os_error(error, begun) from error
