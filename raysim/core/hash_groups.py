"""Groups of equal 128-bit hashes among more of them than memory holds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysim.core.spool import Spool, Spooled

ROWS_AT_A_TIME = 1_000_000
"""That are in memory: 24 bytes each, and as much again to sort them."""

HashPairs = npt.NDArray[np.uint64]
"""uint64 ``[n, 2]``: two hashes of one content, independent of each other; two contents never share both."""


class HashGroups:
    """Rows of a hash and a number, brought together by their hash.

    They are dealt to parts by the first bits of their hash, each of which is sorted by itself.

    Args:
        num_rows: about how many there will be.
        folder: where those lie that do not fit into memory; None: where temporary files do.
    """

    def __init__(self, num_rows: int, folder: Path | None = None) -> None:
        self._bits = (num_rows // ROWS_AT_A_TIME).bit_length()
        self._spool = Spool(folder)
        self._parts: list[list[HashPairs | Spooled]] = [[] for _ in range(1 << self._bits)]

    def add(self, hashes: HashPairs, numbers: npt.NDArray[np.int64]) -> None:
        """Adds rows; of each part at least some thousand at a time are best."""
        rows = np.column_stack([hashes, numbers.astype(np.uint64)])
        if self._bits:
            part_of = rows[:, 0] >> np.uint64(64 - self._bits)
            rows = rows[np.argsort(part_of, kind="stable")]
            ends = np.cumsum(np.bincount(part_of.astype(np.int64), minlength=len(self._parts)))
        else:
            ends = [len(rows)]
        for part, found in zip(self._parts, np.split(rows, ends[:-1]), strict=True):
            if len(found):
                part.append(found if self._spool.takes(found.nbytes) else self._spool.add(found.tobytes()))

    def parts(self) -> Iterator[tuple[HashPairs, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Parts in the order of their hashes.

        Returns:
            for each part its rows in order of hash and number: hashes uint64 ``[n, 2]`` and numbers int64 ``[n]``; and
            where in it groups begin, and the end: int64 ``[num_groups + 1]``.
        """
        for part in self._parts:
            if part:
                rows = np.concatenate([_rows(piece) for piece in part])
                rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
                new = np.ones(len(rows), dtype=np.bool_)
                new[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
                yield rows[:, :2], rows[:, 2].astype(np.int64), np.append(np.flatnonzero(new), len(rows))


def _rows(piece: HashPairs | Spooled) -> HashPairs:
    return np.frombuffer(piece.read(), dtype=np.uint64).reshape(-1, 3) if isinstance(piece, Spooled) else piece
