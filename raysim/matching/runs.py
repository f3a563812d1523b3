"""Longest common runs of sequences of numbers, exactly: a suffix array by prefix doubling, many queries at once.

Suffixes are sorted by doubling the length of the prefix that they are compared by (Manber & Myers, SIAM J. Comput.
1993). The ranks of all lengths are kept, so that two windows of any length are compared by two look-ups, and the length
of what two suffixes have in common is found bit by bit.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysim.core.windows import Mask, Positions

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Runs:
    """A run of units that a part has, for each of some places elsewhere.

    Attributes:
        at: int64 ``[num_runs]``, where each begins.
        lengths: int64 ``[num_runs]``.
        first: int64 ``[num_runs]``, its first place in the part.
        counts: int64 ``[num_runs]``, in how many places of the part it is.
    """

    at: Positions
    lengths: Positions
    first: Positions
    counts: Positions


class SuffixArray:
    """All suffixes of some segments, sorted.

    Args:
        ids: int32 ``[length]``, the segments one after the other.
        starts: int64 ``[num_segments + 1]``, where each begins, and the end; no run reaches across one.
    """

    def __init__(self, ids: Ids, starts: Positions) -> None:
        self.length = len(ids)
        sizes = np.diff(starts)
        self._ends = np.repeat(starts[1:], sizes)
        longest = int(sizes.max(initial=0))
        levels = [_dense(ids.astype(np.int64))]
        step = 1
        while step < longest and int(levels[-1].max(initial=0)) + 1 < self.length:
            levels.append(self._doubled(levels[-1], step))
            step *= 2
        self._levels = np.stack(levels)
        self.order = _order(self._levels[-1].astype(np.int64))
        self._places = np.empty(self.length, dtype=np.int64)
        self._places[self.order] = np.arange(self.length)

    def _doubled(self, ranks: Ids, step: int) -> Ids:
        """Ranks by prefixes of twice `step`; what ends before goes first."""
        behind = np.zeros(self.length, dtype=np.int64)
        inside = np.arange(step, self.length) < self._ends[: self.length - step]
        behind[: self.length - step] = np.where(inside, ranks[step:] + np.int64(1), 0)
        return _dense(ranks.astype(np.int64) * (self.length + 1) + behind)

    def common(self, left: Positions, right: Positions) -> Positions:
        """How many units the suffixes at `left` have in common with those at `right`, pair by pair."""
        most = np.minimum(self._ends[left] - left, self._ends[right] - right)
        common = np.zeros(len(left), dtype=np.int64)
        for level in range(len(self._levels) - 1, -1, -1):
            step = 1 << level
            rows = np.flatnonzero(common + step <= most)
            at = common[rows]
            ranks = self._levels[level]
            rows = rows[ranks[left[rows] + at] == ranks[right[rows] + at]]
            common[rows] += step
        return common

    def longest(self, queries: Positions, part: Mask) -> Positions:
        """The longest run at each of `queries` that `part` has, which holds none of them: int64, 0 for none."""
        index = np.arange(self.length)
        member = part[self.order]
        places = self._places[queries]
        before = np.maximum.accumulate(np.where(member, index, -1))[places]
        behind = np.minimum.accumulate(np.where(member, index, self.length)[::-1])[::-1][places]
        result = np.zeros(len(queries), dtype=np.int64)
        # The suffix of the part that has most in common is next to it in the order, on one side or the other.
        for neighbour, there in ((before, before >= 0), (behind, behind < self.length)):
            rows = np.flatnonzero(there)
            common = self.common(queries[rows], self.order[neighbour[rows]])
            result[rows] = np.maximum(result[rows], common)
        return result

    def repeated(self, part: Mask) -> Positions:
        """The longest run at each place of `part` that has a second place in it, too: int64, 0 for none."""
        members = self.order[part[self.order]]
        common = self.common(members[:-1], members[1:])
        result = np.zeros(self.length, dtype=np.int64)
        result[members[:-1]] = common
        result[members[1:]] = np.maximum(result[members[1:]], common)
        return result[np.flatnonzero(part)]

    def places_of(self, at: Positions, lengths: Positions, part: Mask) -> tuple[Positions, Positions]:
        """Where in `part` the runs of `lengths` at `at` come first, and in how many places; each is there."""
        low, high = self._range(at, lengths)
        member = part[self.order]
        total = np.concatenate([[0], np.cumsum(member)])
        ranges, back = np.unique(np.stack([low, high], 1), axis=0, return_inverse=True)
        positions = np.append(np.where(member, self.order, self.length), self.length)
        first = np.minimum.reduceat(positions, ranges.ravel())[::2] if len(ranges) else ranges.ravel()
        return first[back.ravel()], total[high] - total[low]

    def _range(self, at: Positions, lengths: Positions) -> tuple[Positions, Positions]:
        """Suffixes that begin with each run are neighbours: the first of them in the order, and the one behind."""
        low = self._places[at]
        high = low.copy()
        for bit in range(self.length.bit_length() - 1, -1, -1):
            for bound, step in ((low, -(1 << bit)), (high, 1 << bit)):
                rows = np.flatnonzero((bound + step >= 0) & (bound + step < self.length))
                rows = rows[self._equal(self.order[bound[rows] + step], at[rows], lengths[rows])]
                bound[rows] += step
        return low, high + 1

    def _equal(self, left: Positions, right: Positions, lengths: Positions) -> Mask:
        """Whether the windows of `lengths` at `left`, as far as there are any, equal those at `right`."""
        level = np.frexp(lengths)[1] - 1  # of the longest power of two within; two of them cover a window
        inside = left + lengths <= self._ends[left]
        tail = lengths - (1 << level)
        equal = self._levels[level, left] == self._levels[level, right]
        left = np.where(inside, left, right)
        return inside & equal & (self._levels[level, left + tail] == self._levels[level, right + tail])


def maximal_runs(suffixes: SuffixArray, queries: Positions, lengths: Positions, part: Mask, min_length: int) -> Runs:
    """Runs of at least `min_length` at `queries` that `part` has and cannot be made longer on either side.

    Args:
        suffixes: of everything.
        queries: positions in ascending order; neighbours of one segment are side by side in it.
        lengths: of the longest run at each of them that `part` has.
        part: bool ``[length]``, where to look; holds no query.
        min_length: of a run.
    """
    # The run one place before may hold this one; across the border of a segment it cannot, as it ends there.
    follows = np.zeros(len(queries), dtype=np.bool_)
    follows[1:] = (queries[1:] == queries[:-1] + 1) & (lengths[:-1] == lengths[1:] + 1)
    kept = (lengths >= min_length) & ~follows
    at, lengths = queries[kept], lengths[kept]
    return Runs(at, lengths, *suffixes.places_of(at, lengths, part))


def _dense(values: Positions) -> Ids:
    """Values replaced by their ranks from 0; equal ones have equal ranks."""
    order = _order(values)
    ordered = values[order]
    new = np.zeros(len(values), dtype=np.int32)
    new[1:] = ordered[1:] != ordered[:-1]
    ranks = np.empty(len(values), dtype=np.int32)
    ranks[order] = np.cumsum(new, dtype=np.int32)
    return ranks


def _order(values: Positions) -> Positions:
    """The places of values from 0 on, in ascending order of the values."""
    bits = len(values).bit_length()
    if int(values.max(initial=0)).bit_length() + bits > 63:
        return np.argsort(values)
    # With its place in its last bits each value is sorted by itself, which takes a quarter of the time.
    return np.sort((values << bits) | np.arange(len(values))) & ((1 << bits) - 1)
