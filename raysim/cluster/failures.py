"""What an exception that Ray raised means: the one that the work raised, or what was lost."""

import re
from typing import Any

from raysim.cluster.untyped_ray import untyped_ray
from raysim.core.errors import ActorLost, OutOfMemory, RaysimError, RunError, os_error

_NO_ROOM = (
    "Ray's object store is full, and Ray moves nothing of it to a disk that is over 95 % full: free some room where the"
    " node lays its files (/tmp/ray, or what RAY_TMPDIR names), or raise RAY_local_fs_capacity_threshold (0.95), then"
    " run the same command again"
)


def meaning_of(error: Exception) -> Exception:
    """What an exception that Ray raised means; see `RayBackend.translate_error`."""
    exceptions = untyped_ray().exceptions
    cause = getattr(error, "cause", None)
    for found in (cause, error):
        if isinstance(found, RaysimError):
            return found
    for found in (cause, error):
        if isinstance(found, OSError) and not isinstance(found, exceptions.RayError):
            return os_error(found)
        if isinstance(found, exceptions.OutOfMemoryError):
            return OutOfMemory(
                "a node of the Ray cluster ran out of memory, so Ray ended a process on it; lower execution.slots"
                " or execution.replicas (processes at once), or trainer.batch_size (memory of one)"
            )
        if isinstance(found, exceptions.OutOfDiskError | exceptions.ObjectStoreFullError):
            return RunError(_NO_ROOM)
        if isinstance(found, _lost(exceptions)):
            if getattr(found, "actor_init_failed", False):
                return RunError(_why_not_started(str(found)))
            return ActorLost(_what_was_lost(found, exceptions))
    return error


def _what_was_lost(error: Exception, exceptions: Any) -> str:
    if isinstance(error, exceptions.ObjectLostError):
        return "something that it needs was lost with the node that held it"
    if "node has died" in str(error) or isinstance(error, exceptions.NodeDiedError):
        return "the node that it ran on was lost"
    if isinstance(error, exceptions.ActorUnavailableError):
        return "the process that did it cannot be reached"
    return (
        "the process that did it ended unexpectedly; if the system ended it for want of memory, lower"
        " trainer.batch_size, or execution.slots and execution.replicas"
    )


def _why_not_started(text: str) -> str:
    """One line of what Ray says of an actor whose class could not be imported or made: where, and the error."""
    node = re.search(r"\bip=([^,)\s]+)", text)
    reason = [line.strip() for line in text.splitlines() if line.strip()][-1]
    return f"a process could not be started{f' on node {node[1]}' if node else ''}: {reason}"


def _lost(exceptions: Any) -> tuple[type[Exception], ...]:
    return (
        exceptions.RayActorError,
        exceptions.NodeDiedError,
        exceptions.WorkerCrashedError,
        exceptions.ObjectLostError,
    )
