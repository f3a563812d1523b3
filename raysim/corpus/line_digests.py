"""Significant lines by their keyed digests: what can be compared without the lines, and in less memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysim.core.errors import InputError
from raysim.core.hash_groups import HashPairs
from raysim.core.keys import keyed_hash
from raysim.core.windows import window_hashes
from raysim.corpus.files import SourceFile, batches
from raysim.corpus.lines import LineRules, significant_lines

Digests = HashPairs
"""uint64 ``[n, 2]``: of each line or window the half that it is looked up by, and the half that verifies."""


def digest_lines(lines: Sequence[str], secret: bytes) -> Digests:
    """Keyed digest of each of `lines`: uint64 ``[len(lines), 2]``; a line that occurs twice is digested once.

    Raises:
        InputError: a secret longer than the 64 bytes that blake2b takes.
    """
    if len(secret) > 64:
        raise InputError(f"the secret of the run has {len(secret)} bytes; blake2b takes at most 64")
    # A lone surrogate has no UTF-8; surrogatepass keeps such lines apart instead of failing on them.
    digest_of = {line: keyed_hash(line.encode("utf-8", "surrogatepass"), secret) for line in set(lines)}
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


@dataclass(frozen=True)
class DigestedFiles:
    """Significant lines of some files in order, known by their digests.

    Attributes:
        digests: of all lines.
        numbers: int32 ``[num_lines]``, the line number in its file (from 1) of each.
        starts: int64 ``[num_files + 1]``, position of each file's first line, and the end.
        paths: names of the files.
    """

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


def digest_batches(files: Iterable[SourceFile], secret: bytes, rules: LineRules = "exact") -> Iterator[DigestedFiles]:
    """The same, of some files at a time, so that no more lines are in memory than these have; at least one batch."""
    empty = True
    for batch in batches(files, lambda source: source.num_bytes):
        empty = False
        yield digest_files(batch, secret, rules)
    if empty:
        yield digest_files([], secret, rules)
