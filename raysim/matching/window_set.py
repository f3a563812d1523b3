"""A set of windows, to ask which of many occur in it."""

import numpy as np

from raysim.core.windows import Hashes, Mask

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
