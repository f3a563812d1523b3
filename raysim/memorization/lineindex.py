"""An index of every window of consecutive significant lines of a code base.

Lines are known by keyed hashes alone, so an index can leave its organization without its code: who does not hold the
secret of the run cannot try lines out against it. Two different windows share a 64-bit hash with a chance of about
n**2 / 2**65 among n windows: 1e-8 at a million.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines
from raysim.errors import InputError
from raysim.scan.hashing import Hashes, window_hashes
from raysim.scan.windows import inside_one, spread


def hash_lines(lines: Sequence[str], secret: bytes) -> Hashes:
    """Keyed hash of each of `lines`: uint64 ``[len(lines)]``; a line that occurs twice is hashed once.

    Raises:
        InputError: a secret longer than the 64 bytes that blake2b takes.
    """
    if len(secret) > 64:
        raise InputError(f"the secret of the run has {len(secret)} bytes; blake2b takes at most 64")
    blake2b, from_bytes = hashlib.blake2b, int.from_bytes
    # A lone surrogate has no UTF-8; surrogatepass keeps such lines apart instead of failing on them.
    hash_of = {
        line: from_bytes(blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8, key=secret).digest(), "little")
        for line in set(lines)
    }
    return np.fromiter(map(hash_of.__getitem__, lines), dtype=np.uint64, count=len(lines))


@dataclass(frozen=True)
class LineIndex:
    """Every window of `min_lines` significant lines of some files, for look-up by hash.

    Attributes:
        min_lines: significant lines of a window; windows do not reach across files.
        windows: uint64 ``[num_windows]``, sorted and distinct.
        counts: int32 ``[num_windows]``, in how many places each window stands.
        first: int64 ``[num_windows]``, position of the first line of its first place, in the order of the files.
        numbers: int32 ``[num_lines]``, the line number in its file (from 1) of each significant line, files in order.
        starts: int64 ``[num_files + 1]``, position of each file's first significant line, and the end.
        paths: names of the files.
    """

    min_lines: int
    windows: Hashes
    counts: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    paths: tuple[str, ...]

    @property
    def num_lines(self) -> int:
        """Significant lines of all files."""
        return len(self.numbers)

    def places(self, window_hashes: Hashes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Looks windows up.

        Returns:
            the position of each window's first place, or -1; and in how many places it stands, or 0. Both int64.
        """
        if not len(self.windows):
            return np.full(len(window_hashes), -1, dtype=np.int64), np.zeros(len(window_hashes), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.windows, window_hashes), len(self.windows) - 1)
        found = self.windows[at] == window_hashes
        return np.where(found, self.first[at], -1), np.where(found, self.counts[at], 0).astype(np.int64)

    def covered(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Which of consecutive lines (their `hash_lines`) lie in a window of this index: bool ``[len(hashes)]``."""
        windows = window_hashes(hashes, self.min_lines)
        return spread(self.places(windows)[1] > 0, len(hashes), self.min_lines)

    def locate(self, position: int) -> tuple[str, int]:
        """The file and the line number (from 1) of the significant line at `position`."""
        file = int(np.searchsorted(self.starts, position, side="right")) - 1
        return self.paths[file], int(self.numbers[position])


@dataclass(frozen=True)
class HashedFiles:
    """Significant lines of some files in order, known by their hashes; fields as in `LineIndex`."""

    hashes: Hashes
    numbers: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    paths: tuple[str, ...]


def hash_files(files: Iterable[SourceFile], secret: bytes) -> HashedFiles:
    """Hashes every significant line of `files`, in their order."""
    lines: list[str] = []
    numbers: list[int] = []
    starts, paths = [0], []
    for source in files:
        file_lines, file_numbers = significant_lines(source.text)
        lines += file_lines
        numbers += file_numbers
        starts.append(len(lines))
        paths.append(source.path)
    return HashedFiles(
        hash_lines(lines, secret),
        np.array(numbers, dtype=np.int32),
        np.array(starts, dtype=np.int64),
        tuple(paths),
    )


def build_index(files: Iterable[SourceFile], min_lines: int, secret: bytes) -> LineIndex:
    """Indexes every window of `min_lines` significant lines inside one file; a shorter file has none."""
    hashed = hash_files(files, secret)
    windows = window_hashes(hashed.hashes, min_lines)
    position = np.flatnonzero(inside_one(hashed.starts, min_lines))
    # Stable, so that of equal windows the first in the order of the files comes first.
    order = np.argsort(windows[position], kind="stable")
    position = position[order]
    ordered = windows[position]
    new = np.ones(len(ordered), dtype=np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    at = np.flatnonzero(new)
    return LineIndex(
        min_lines=min_lines,
        windows=ordered[at],
        counts=np.diff(np.append(at, len(ordered))).astype(np.int32),
        first=position[at].astype(np.int64),
        numbers=hashed.numbers,
        starts=hashed.starts,
        paths=hashed.paths,
    )
