"""Windows of consecutive units: which of them occur elsewhere, and what they cover."""

import numpy as np

from raysim.matching.hashing import Hashes
from raysim.matching.units import Mask, Positions

_ROOM, _MOST_BITS = 32, 24
"""Of the table that answers for most windows that they are in no set: places for each window in it, and at most."""


class WindowSet:
    """A set of window hashes that many are looked up in."""

    def __init__(self, hashes: Hashes) -> None:
        ordered = np.sort(hashes)  # np.unique takes fifty times as long
        self.hashes = np.concatenate([ordered[:1], ordered[1:][ordered[1:] != ordered[:-1]]])
        self._shift = np.uint64(64 - min(_MOST_BITS, (_ROOM * len(self.hashes)).bit_length()))
        self._table = np.zeros(1 << (64 - int(self._shift)), dtype=np.bool_)
        self._table[hashes >> self._shift] = True

    def holds(self, hashes: Hashes) -> Mask:
        """Which of `hashes` are in the set."""
        found = self._table[hashes >> self._shift]
        rows = np.flatnonzero(found)
        at = np.searchsorted(self.hashes, hashes[rows])
        found[rows] = self.hashes[np.minimum(at, len(self.hashes) - 1)] == hashes[rows]
        return found


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
