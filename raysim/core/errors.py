"""The errors that a person sees. Each has the exit code of the command that it ends.

Every message names the field or file, what was found, and what to do. All of them carry one string, so that they
survive pickling on their way out of an actor.
"""

import errno


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


class OutOfMemory(ActorLost):
    """Memory ran out under a piece of work; the message names the setting to lower."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, as far as one line holds it, or what it is where it says nothing."""
    return str(error).strip().partition("\n")[0].strip() or repr(error)


def disk_full(error: OSError) -> RunError | None:
    """What `error` means where it says that there is no room on the disk, or none for this user; else None."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    place = f" ({error.filename})" if error.filename else ""
    return RunError(f"the disk is full{place}; free some room, then run the same command again")
