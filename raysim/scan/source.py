"""A corpus that is gone through several times: for its windows, and for the units that matter."""

from collections.abc import Callable, Iterator

import numpy as np

from raysim.core.windows import Hashes
from raysim.matching.window_set import WindowSet
from raysim.scan.chunks import Chunk, Result, Workers
from raysim.scan.corpora import CodeCollection
from raysim.scan.gathering import Piece, pick

_KEPT_BYTES = 256 << 20
"""Of chunks of one corpus that are kept for another pass."""


class RereadCorpus:
    """A corpus under one seed; chunks that fit in memory are made once, the rest in each pass."""

    def __init__(self, corpus: CodeCollection, workers: Workers, seed: int) -> None:
        self.corpus = corpus
        self.num_units = 0
        self._workers, self._seed = workers, seed
        self._kept: list[Chunk] = []
        self._room = _KEPT_BYTES

    def windows(self, length: int) -> Hashes:
        """Hashes of all windows of `length` units inside one file; counts the units, too."""
        found = [np.zeros(0, dtype=np.uint64)]
        for windows, num_units in self._each(lambda chunk: (chunk.windows(length), len(chunk.hashes)), keep=True):
            found.append(windows)
            self.num_units += num_units
        return np.concatenate(found)

    def pick(self, wanted: WindowSet, length: int) -> list[Piece]:
        """The units that lie in a window of `length` that is wanted."""
        return [piece for piece in self._each(lambda chunk: pick(chunk, wanted, length)) if piece]

    def _each(self, work: Callable[[Chunk], Result], keep: bool = False) -> Iterator[Result]:
        yield from self._workers.map(work, self._kept)
        first = self._kept[-1].end if self._kept else 0
        for chunk, result in self._workers.make(self.corpus, self._seed, lambda chunk: (chunk, work(chunk)), first):
            # All that are kept come first, so one that does not fit ends it.
            self._room = self._room - chunk.num_bytes if keep and chunk.num_bytes <= self._room else 0
            if self._room:
                self._kept.append(chunk)
            yield result
