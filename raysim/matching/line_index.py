"""An index of every window of consecutive significant lines of a code base.

Lines are known by keyed digests alone, so an index can leave its organization without its code: who does not hold the
secret of the run cannot try lines out against it. That is also why nobody can compare bytes across the boundary, as
`raysim.scan` does behind its hashes. A digest has two halves instead, both from one BLAKE2b and mixed apart from each
other: the first says where to look, the second verifies. Two of n windows that differ agree in both with a chance of
n**2 / 2**129: 1e-21 at a billion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysim.core.hash_groups import HashGroups
from raysim.core.long_arrays import LongArray
from raysim.core.windows import inside_one, spread
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import DigestedFiles, Digests, digest_batches, digest_windows
from raysim.corpus.lines import LineRules, expected_lines


def distinct(digests: Digests) -> Digests:
    """The distinct ones among `digests`, in the order in which `find` looks them up."""
    ordered = digests[_order(digests)]
    # So laid out that the half that is looked up lies in one piece.
    return np.asfortranarray(ordered[_begins(ordered)])


def merge_counts(
    windows: Sequence[Digests], counts: Sequence[npt.NDArray[np.int32]]
) -> tuple[Digests, npt.NDArray[np.int32]]:
    """The distinct ones among all `windows`, as `distinct` has them, and for each the sum of its counts."""
    together, places = np.concatenate(list(windows)), np.concatenate(list(counts))
    order = _order(together)
    begins = _begins(together[order])
    if not len(together):
        return together, places
    return np.asfortranarray(together[order[begins]]), np.add.reduceat(places[order], begins).astype(np.int32)


def find(digests: Digests, among: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Where each of `digests` is in `among`, which are `distinct`: positions, and which of them say so truly."""
    last = len(among) - 1
    if last < 0:
        return np.zeros(len(digests), dtype=np.int64), np.zeros(len(digests), dtype=np.bool_)
    at = np.minimum(np.searchsorted(among[:, 0], digests[:, 0]), last)
    same = among[at] == digests
    # What differs and shares the first half is next to each other: on to the one that shares both.
    while len(rows := np.flatnonzero(same[:, 0] & ~same[:, 1] & (at < last))):
        at[rows] += 1
        same[rows] = among[at[rows]] == digests[rows]
    return at, same.all(axis=1)


def _order(digests: Digests) -> npt.NDArray[np.int64]:
    """By the first half, then by the second; of equal ones the first comes first."""
    return np.lexsort((digests[:, 1], digests[:, 0]))


def _begins(ordered: Digests) -> npt.NDArray[np.int64]:
    """Where another digest begins."""
    new = np.ones(len(ordered), dtype=np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return np.flatnonzero(new)


@dataclass(frozen=True)
class LineIndex:
    """Every window of `min_lines` significant lines of some files, for look-up by digest.

    Attributes:
        min_lines: significant lines of a window; windows do not reach across files.
        windows: uint64 ``[num_windows, 2]``, distinct digests, in order.
        counts: int32 ``[num_windows]``, in how many places each window is.
        first: int64 ``[num_windows]``, position of the first line of its first place, in the order of the files.
        numbers: int32 ``[num_lines]``, the line number in its file (from 1) of each significant line, files in order.
        starts: int64 ``[num_files + 1]``, position of each file's first significant line, and the end.
        paths: names of the files.
        num_trained: lines of the files that are trained on, which come first; None: all of them are. The others are
            somebody's as well, see `extended`.
    """

    min_lines: int
    windows: Digests
    counts: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    paths: tuple[str, ...]
    num_trained: int | None = None

    @property
    def num_lines(self) -> int:
        """Significant lines of all files."""
        return len(self.numbers)

    def places(self, windows: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Looks windows up by their `digest_windows`.

        Returns:
            the position of each window's first place, or -1; and in how many places it is, or 0. Both int64.
        """
        at, found = find(windows, self.windows)
        positions, counts = np.full(len(windows), -1, dtype=np.int64), np.zeros(len(windows), dtype=np.int64)
        positions[found], counts[found] = self.first[at[found]], self.counts[at[found]]
        return positions, counts

    def trained_counts(self, windows: Digests) -> npt.NDArray[np.int64]:
        """In how many places of what is trained on each window is, by its `digest_windows`; int64."""
        positions, counts = self.places(windows)
        return counts if self.num_trained is None else np.where(positions < self.num_trained, counts, 0)

    def covered(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of consecutive lines (their `digest_lines`) lie in a window of this index: bool ``[len(digests)]``."""
        windows = digest_windows(digests, self.min_lines)
        return spread(self.places(windows)[1] > 0, len(digests), self.min_lines)

    def locate(self, position: int) -> tuple[str, int]:
        """The file and the line number (from 1) of the significant line at `position`."""
        file = int(np.searchsorted(self.starts, position, side="right")) - 1
        return self.paths[file], int(self.numbers[position])


def build_index(
    files: Sequence[SourceFile],
    min_lines: int,
    secret: bytes,
    rules: LineRules = "exact",
    folder: Path | None = None,
) -> LineIndex:
    """Indexes every window of `min_lines` significant lines inside one file; a shorter file has none.

    Args:
        files: in order.
        min_lines: significant lines of a window.
        secret: the key of all line digests.
        rules: which lines are equal.
        folder: where an index lies that does not fit into memory, memory-mapped; None: where temporary files do.
    """
    return _index(digest_batches(files, secret, rules), min_lines, expected_lines(files), folder)


def extended(index: LineIndex, other: LineIndex) -> LineIndex:
    """`index` and those windows of `other` that it has not, where and as often as they are there.

    Nobody is trained on `other`. What `index` has it keeps as it is, so that a text and another writing of it are not
    taken for copies.
    """
    new = ~find(other.windows, index.windows)[1]
    windows = np.concatenate([index.windows, other.windows[new]])
    order = _order(windows)
    return LineIndex(
        index.min_lines,
        np.asfortranarray(windows[order]),
        np.concatenate([index.counts, other.counts[new]])[order],
        np.concatenate([index.first, other.first[new] + index.num_lines])[order],
        np.concatenate([index.numbers, other.numbers]),
        np.concatenate([index.starts, other.starts[1:] + index.num_lines]),
        index.paths + other.paths,
        num_trained=index.num_lines,
    )


def index_digests(digested: DigestedFiles, min_lines: int) -> LineIndex:
    """The same, of files whose lines are digested already."""
    return _index([digested], min_lines, len(digested.digests), None)


def _index(parts: Iterable[DigestedFiles], min_lines: int, num_lines: int, folder: Path | None) -> LineIndex:
    groups, numbers = HashGroups(num_lines, folder), LongArray(np.int32, folder)
    starts, paths = [np.zeros(1, dtype=np.int64)], list[str]()
    for digested in parts:
        begins = np.flatnonzero(inside_one(digested.starts, min_lines))
        groups.add(digest_windows(digested.digests, min_lines)[begins], begins + len(numbers))
        starts.append(digested.starts[1:] + len(numbers))
        paths += digested.paths
        numbers.append(digested.numbers)
    halves = [LongArray(np.uint64, folder) for _ in range(2)]
    counts, first = LongArray(np.int32, folder), LongArray(np.int64, folder)
    for windows, positions, begins in groups.parts():
        for half, column in zip(halves, windows[begins[:-1]].T, strict=True):
            half.append(column)
        counts.append(np.diff(begins))
        first.append(positions[begins[:-1]])
    halves[0].append(halves[1].whole())
    # So laid out that the half that is looked up lies in one piece.
    windows = halves[0].whole().reshape(2, -1).T
    return LineIndex(
        min_lines, windows, counts.whole(), first.whole(), numbers.whole(), np.concatenate(starts), tuple(paths)
    )
