"""An index of every window of consecutive significant lines of a code base.

Lines are known by keyed digests alone, so an index can leave its organization without its code: who does not hold the
secret of the run cannot try lines out against it. That is also why nobody can compare bytes across the boundary, as
`raysim.scan` does behind its hashes. A digest has two halves instead, both from one BLAKE2b and mixed apart from each
other: the first says where to look, the second verifies. Two of n windows that differ agree in both with a chance of
n**2 / 2**129: 1e-21 at a billion.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysim.core.errors import InputError
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import LineRules, significant_lines
from raysim.matching.hashing import Hashes, window_hashes
from raysim.matching.windows import inside_one, spread

Digests = Hashes
"""uint64 ``[n, 2]``: of each line or window the half that it is looked up by, and the half that verifies."""

DIGEST_BYTES = 16


def digest_lines(lines: Sequence[str], secret: bytes) -> Digests:
    """Keyed digest of each of `lines`: uint64 ``[len(lines), 2]``; a line that occurs twice is digested once.

    Raises:
        InputError: a secret longer than the 64 bytes that blake2b takes.
    """
    if len(secret) > 64:
        raise InputError(f"the secret of the run has {len(secret)} bytes; blake2b takes at most 64")
    blake2b = hashlib.blake2b
    # A lone surrogate has no UTF-8; surrogatepass keeps such lines apart instead of failing on them.
    digest_of = {
        line: blake2b(line.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES, key=secret).digest()
        for line in set(lines)
    }
    return from_binary(map(digest_of.__getitem__, lines))


def digest_windows(digests: Digests, length: int) -> Digests:
    """Digest of each window of `length` consecutive lines: uint64 ``[max(0, len(digests) - length + 1), 2]``."""
    return np.stack([window_hashes(np.ascontiguousarray(half), length) for half in digests.T], axis=1)


def to_binary(digests: Digests) -> list[bytes]:
    """Each digest as the `DIGEST_BYTES` bytes that travel in a table."""
    return [row.tobytes() for row in digests.astype("<u8", copy=False)]


def from_binary(digests: Iterable[bytes]) -> Digests:
    """The inverse of `to_binary`."""
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


def distinct(digests: Digests) -> Digests:
    """The distinct ones among `digests`, in the order in which `find` looks them up."""
    ordered = digests[_order(digests)]
    # So laid out that the half that is looked up lies in one piece.
    return np.asfortranarray(ordered[_begins(ordered)])


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
    """

    min_lines: int
    windows: Digests
    counts: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    paths: tuple[str, ...]

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

    def covered(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of consecutive lines (their `digest_lines`) lie in a window of this index: bool ``[len(digests)]``."""
        windows = digest_windows(digests, self.min_lines)
        return spread(self.places(windows)[1] > 0, len(digests), self.min_lines)

    def locate(self, position: int) -> tuple[str, int]:
        """The file and the line number (from 1) of the significant line at `position`."""
        file = int(np.searchsorted(self.starts, position, side="right")) - 1
        return self.paths[file], int(self.numbers[position])


@dataclass(frozen=True)
class DigestedFiles:
    """Significant lines of some files in order, known by their digests; fields as in `LineIndex`."""

    digests: Digests
    numbers: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    paths: tuple[str, ...]


def digest_files(files: Iterable[SourceFile], secret: bytes, rules: LineRules = "exact") -> DigestedFiles:
    """Digests every significant line of `files` under `rules`, in their order."""
    lines: list[str] = []
    numbers: list[int] = []
    starts, paths = [0], []
    for source in files:
        file_lines, file_numbers = significant_lines(source.text, rules)
        lines += file_lines
        numbers += file_numbers
        starts.append(len(lines))
        paths.append(source.path)
    return DigestedFiles(
        digest_lines(lines, secret),
        np.array(numbers, dtype=np.int32),
        np.array(starts, dtype=np.int64),
        tuple(paths),
    )


def build_index(files: Iterable[SourceFile], min_lines: int, secret: bytes, rules: LineRules = "exact") -> LineIndex:
    """Indexes every window of `min_lines` significant lines inside one file; a shorter file has none."""
    return index_digests(digest_files(files, secret, rules), min_lines)


def index_digests(digested: DigestedFiles, min_lines: int) -> LineIndex:
    """The same, of files whose lines are digested already."""
    windows = digest_windows(digested.digests, min_lines)
    position = np.flatnonzero(inside_one(digested.starts, min_lines))
    position = position[_order(windows[position])]
    at = _begins(windows[position])
    return LineIndex(
        min_lines=min_lines,
        windows=np.asfortranarray(windows[position[at]]),
        counts=np.diff(np.append(at, len(position))).astype(np.int32),
        first=position[at].astype(np.int64),
        numbers=digested.numbers,
        starts=digested.starts,
        paths=digested.paths,
    )
