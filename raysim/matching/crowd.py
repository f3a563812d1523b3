"""Overlap among very many organizations: of each with all others together, and with the few it shares most with.

Pair by pair, a thousand organizations are a million comparisons, and as many lines to read. Indexes of windows are
added up instead; what all others hold of an organization's windows is the sum without its own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from raysim.matching.line_index import Digests, LineIndex, find, merge_counts

MANY = 50
"""Organizations beyond which not every pair is looked at."""

NEAREST = 3
"""Others that each is compared with by itself, then."""


def merged(indexes: Sequence[LineIndex]) -> LineIndex:
    """The windows of all `indexes`, each with its places in all; places have no files any more."""
    windows, counts = merge_counts([index.windows for index in indexes], [index.counts for index in indexes])
    return _index(indexes[0].min_lines, windows, counts)


def without(total: LineIndex, own: LineIndex, windows: Digests) -> LineIndex:
    """Of distinct `windows`, in order, those that `total` has in more places than `own`, which is one of its parts."""
    counts = (total.places(windows)[1] - own.places(windows)[1]).astype(np.int32)
    return _index(own.min_lines, np.asfortranarray(windows[counts > 0]), counts[counts > 0])


def nearest(indexes: Mapping[str, LineIndex], total: LineIndex, most: int = NEAREST) -> dict[str, list[str]]:
    """For each organization at most `most` others that hold most of its windows, the one with most first.

    Args:
        indexes: of all.
        total: all of them `merged`.
        most: of others.
    """
    names = list(indexes)
    at = [find(index.windows, total.windows)[0] for index in indexes.values()]
    holders = np.concatenate([np.full(len(rows), number) for number, rows in enumerate(at)])
    holders = holders[np.argsort(np.concatenate(at), kind="stable")]
    begins = np.concatenate([[0], np.cumsum(np.bincount(np.concatenate(at), minlength=len(total.windows)))])
    return {
        name: [names[other] for other in _most_frequent(_among(holders, begins, rows), number, most)]
        for number, (name, rows) in enumerate(zip(names, at, strict=True))
    }


def _among(
    holders: npt.NDArray[np.int64], begins: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Who holds the windows `rows`, once for each window that one holds."""
    shared = [holders[begins[row] : begins[row + 1]] for row in rows[np.diff(begins)[rows] > 1]]
    return np.concatenate(shared) if shared else np.zeros(0, dtype=np.int64)


def _most_frequent(holders: npt.NDArray[np.int64], but: int, most: int) -> list[int]:
    """The numbers that are there most often, but one; of equals the lowest first."""
    numbers, times = np.unique(holders[holders != but], return_counts=True)
    return numbers[np.argsort(-times, kind="stable")[:most]].tolist()


def _index(min_lines: int, windows: Digests, counts: npt.NDArray[np.int32]) -> LineIndex:
    nowhere = np.zeros(0, dtype=np.int32)
    first = np.zeros(len(windows), dtype=np.int64)
    return LineIndex(min_lines, windows, counts, first, nowhere, np.zeros(1, dtype=np.int64), ())
