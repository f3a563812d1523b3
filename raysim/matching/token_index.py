"""An index of every window of consecutive blind tokens of a code base, by keyed digests alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raysim.core.hash_groups import HashGroups
from raysim.core.long_arrays import LongArray
from raysim.core.windows import Mask, inside_one
from raysim.corpus.files import SourceFile, batches
from raysim.corpus.line_digests import Digests
from raysim.matching.blind_tokens import CodeText, blind_tokens
from raysim.matching.line_index import find

_BYTES_OF_TOKEN = 5


@dataclass(frozen=True)
class TokenIndex:
    """Every window of `min_tokens` tokens of some files; windows do not reach across files.

    Attributes:
        min_tokens: of a window.
        windows: uint64 ``[num_windows, 2]``, distinct digests, in order.
    """

    min_tokens: int
    windows: Digests

    def holds(self, windows: Digests) -> Mask:
        """Which windows, by their digests, it has."""
        return find(windows, self.windows)[1]


def build_token_index(
    files: Iterable[SourceFile], min_tokens: int, secret: bytes, folder: Path | None = None
) -> TokenIndex:
    """Indexes every window of `min_tokens` tokens inside one file; a shorter file has none.

    Args:
        files: in any order.
        min_tokens: of a window.
        secret: the key of all digests.
        folder: where an index lies that does not fit into memory, memory-mapped; None: where temporary files do.
    """
    listed = list(files)
    groups = HashGroups(sum(source.num_bytes for source in listed) // _BYTES_OF_TOKEN, folder)
    for batch in batches(listed, lambda source: source.num_bytes):
        tokens = blind_tokens((CodeText(source.path, source.text) for source in batch), min_tokens, secret)
        windows = tokens.windows(min_tokens)[inside_one(tokens.starts, min_tokens)]
        groups.add(windows, np.zeros(len(windows), dtype=np.int64))
    halves = [LongArray(np.uint64, folder) for _ in range(2)]
    for windows, _, begins in groups.parts():
        for half, column in zip(halves, windows[begins[:-1]].T, strict=True):
            half.append(column)
    halves[0].append(halves[1].whole())
    # So laid out that the half that is looked up lies in one piece.
    return TokenIndex(min_tokens, halves[0].whole().reshape(2, -1).T)
