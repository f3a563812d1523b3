"""Windows of consecutive units: which of them stand elsewhere, and what they cover."""

import numpy as np
import numpy.typing as npt

from raysim.scan.hashing import Hashes
from raysim.scan.units import Mask, Positions

_FILTER_BITS = 24
"""Of the table that answers for most windows that they are in no set."""


class WindowSet:
    """A set of window hashes that many are looked up in."""

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = np.unique(hashes)
        self._table = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)
        self._table[_short(self.hashes)] = True

    def holds(self, hashes: Hashes) -> Mask:
        """Which of `hashes` are in the set."""
        found = self._table[_short(hashes)]
        rows = np.flatnonzero(found)
        at = np.searchsorted(self.hashes, hashes[rows])
        found[rows] = self.hashes[np.minimum(at, len(self.hashes) - 1)] == hashes[rows]
        return found


def _short(hashes: Hashes) -> npt.NDArray[np.uint64]:
    return hashes >> np.uint64(64 - _FILTER_BITS)


def spread(matched: Mask, num_units: int, length: int) -> Mask:
    """Units that lie in a matched window: bool ``[num_units]`` from bool ``[max(0, num_units - length + 1)]``."""
    change = np.zeros(num_units + 1, dtype=np.int32)
    change[: len(matched)] += matched
    change[length : length + len(matched)] -= matched
    return np.cumsum(change[:num_units], dtype=np.int32) > 0


def inside_one(starts: Positions, length: int) -> Mask:
    """Which windows of a concatenation stay inside one of its parts, which begin at `starts` (the end included)."""
    total = int(starts[-1])
    count = max(0, total - length + 1)
    part = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return part[:count] == part[total - count :]
