"""Memory that ran out, with the setting that a person can lower; and memory given back to the system."""

import ctypes
import resource
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from raysim.core.errors import RunError

_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad allocation", "std::bad_alloc")
"""What torch says of an allocation that failed, on devices and on CPUs."""


@contextmanager
def oom_hint(setting: str) -> Iterator[None]:
    """Turns an allocation that fails in the block into an error that names `setting`.

    The same work would fail in the same way again, so it is no reason to try again. A process that the system ends for
    want of memory says nothing itself: the caller that misses it does.

    Raises:
        RunError: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(sign in str(error).lower() for sign in _SIGNS):
            raise
        traceback.clear_frames(error.__traceback__)  # releases what filled the memory: some is needed to go on
        first = str(error).strip().partition("\n")[0] or "no memory could be had"
        raise RunError(f"memory ran out; lower {setting} ({first[:200]})") from error


def trim_heap() -> None:
    """Returns the free blocks that the C library keeps; one that has no such call keeps them.

    Measured in this project: after a stage a process had 1.67 GB, of which 0.83 GB were in use.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def peak_memory_bytes(device: str) -> int:
    """The most that was held: of a GPU since its count was reset, else of this process since it began."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
