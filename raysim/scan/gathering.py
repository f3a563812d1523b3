"""From files to the few units that matter: those in windows that stand on both sides, compared byte for byte.

Hashes decide what is gathered. Equal windows have equal hashes, so none is missed; what is gathered for a hash alone is
told apart here, where every unit is compared with the first of its hash.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import numpy.typing as npt

from raysim.scan.corpora import CHUNK_BYTES, LEXED_CHUNK_BYTES, Corpus
from raysim.scan.hashing import Hashes, hash_units, window_hashes
from raysim.scan.reading import Reader
from raysim.scan.runs import Ids
from raysim.scan.units import Positions, Texts, Units
from raysim.scan.windows import WindowSet, inside_one, spread

_KEPT_BYTES = 256 << 20
"""Of chunks of one corpus that are kept for another pass."""


class Collision(Exception):
    """Two units that differ have one hash."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive files of a corpus, as they are worked on.

    Attributes:
        first: number of the first of the files.
        units: of them.
        hashes: uint64 ``[num_units]``.
    """

    first: int
    units: Units
    hashes: Hashes

    @property
    def end(self) -> int:
        """Number of the first file behind."""
        return self.first + len(self.units.starts) - 1

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        units = self.units
        parts = (self.hashes, units.buffer, units.begins, units.ends, units.numbers, units.starts)
        return sum(part.nbytes for part in parts)

    def windows(self, length: int) -> Hashes:
        """Hashes of all windows inside one file."""
        return window_hashes(self.hashes, length)[inside_one(self.units.starts, length)]


@dataclass(frozen=True)
class Piece:
    """Units that were gathered of some files of a corpus, in their order.

    Attributes:
        files: int32 ``[num_units]``, numbers of their files.
        places: int32 ``[num_units]``, which unit of its file each is.
        numbers: int32 ``[num_units]``, lines from 1.
        hashes: uint64 ``[num_units]``.
        texts: their bytes.
    """

    files: npt.NDArray[np.int32]
    places: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int32]
    hashes: Hashes
    texts: Texts


@dataclass(frozen=True)
class Gathered:
    """The units of several corpora that matter, one corpus after the other.

    Attributes:
        ids: int32 ``[num_units]``, the same for equal bytes alone.
        parts: int32 ``[num_units]``, which corpus each is of.
        files: int32 ``[num_units]``, numbers of their files.
        numbers: int32 ``[num_units]``, lines from 1.
        starts: int64 ``[num_segments + 1]``, stretches of neighbours in one file.
    """

    ids: Ids
    parts: npt.NDArray[np.int32]
    files: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int32]
    starts: Positions


class Chunks:
    """All units of a corpus, for several passes over them: what fits in memory is made once, the rest in each pass."""

    def __init__(self, corpus: Corpus, reader: Reader, seed: int) -> None:
        self._corpus, self._reader, self._seed = corpus, reader, seed
        self._kept: list[Chunk] = []
        self._room = _KEPT_BYTES

    def __iter__(self) -> Iterator[Chunk]:
        yield from self._kept
        first = self._kept[-1].end if self._kept else 0
        for chunk in chunks(self._corpus, self._reader, self._seed, first):
            # All that are kept come first, so one that does not fit ends it.
            self._room = self._room - chunk.num_bytes if chunk.num_bytes <= self._room else 0
            if self._room:
                self._kept.append(chunk)
            yield chunk


def chunks(corpus: Corpus, reader: Reader, seed: int, first: int = 0) -> Iterator[Chunk]:
    """Units of a corpus from some file on, many files at a time; the next ones are made meanwhile."""
    workers = os.cpu_count() or 1
    # A lexer is Python, which threads do not speed up.
    pool = ProcessPoolExecutor(workers, get_context("spawn")) if reader.lexes else ThreadPoolExecutor(workers)
    with pool:
        ahead = deque[Future[Chunk]]()
        for number, contents in corpus.chunks(first, LEXED_CHUNK_BYTES if reader.lexes else CHUNK_BYTES):
            paths = corpus.paths[number : number + len(contents)]
            ahead.append(pool.submit(_chunk, reader, number, paths, contents, seed))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _chunk(reader: Reader, first: int, paths: Sequence[str], contents: Sequence[bytes], seed: int) -> Chunk:
    units = reader(paths, contents)
    return Chunk(first, units, hash_units(units, seed))


def pick(chunk: Chunk, wanted: WindowSet, length: int) -> Piece | None:
    """The units that lie in a window of `length` that is wanted; None if there are none."""
    matched = wanted.holds(window_hashes(chunk.hashes, length)) & inside_one(chunk.units.starts, length)
    kept = np.flatnonzero(spread(matched, len(chunk.hashes), length))
    if not len(kept):
        return None
    starts = chunk.units.starts
    file = np.searchsorted(starts, kept, side="right") - 1
    return Piece(
        (file + chunk.first).astype(np.int32),
        (kept - starts[file]).astype(np.int32),
        chunk.units.numbers[kept],
        chunk.hashes[kept],
        chunk.units.texts(kept),
    )


def gather(pieces: Sequence[Sequence[Piece]]) -> Gathered:
    """Puts the pieces of corpora together, those of each corpus in its order.

    Raises:
        Collision: two of the units differ and have one hash.
    """
    everything = [piece for of_corpus in pieces for piece in of_corpus]
    sizes = [sum(len(piece.hashes) for piece in of_corpus) for of_corpus in pieces]
    hashes, ids = np.unique(_join([piece.hashes for piece in everything], np.uint64), return_inverse=True)
    ids = ids.astype(np.int32)
    _verify(everything, ids, len(hashes))
    parts = np.repeat(np.arange(len(pieces), dtype=np.int32), sizes)
    files = _join([piece.files for piece in everything], np.int32)
    places = _join([piece.places for piece in everything], np.int32)
    begins = np.ones(len(ids), dtype=np.bool_)
    begins[1:] = (parts[1:] != parts[:-1]) | (files[1:] != files[:-1]) | (places[1:] != places[:-1] + 1)
    starts = np.append(np.flatnonzero(begins), len(ids))
    return Gathered(ids, parts, files, _join([piece.numbers for piece in everything], np.int32), starts)


def _join(arrays: Sequence[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _verify(pieces: Sequence[Piece], ids: Ids, num_ids: int) -> None:
    """Compares every unit with the first that has its hash."""
    where = np.full((num_ids, 2), -1, dtype=np.int64)  # piece, and place in it, of the first of each id
    low = 0
    for number, piece in enumerate(pieces):
        own = ids[low : low + len(piece.hashes)]
        low += len(own)
        new, at = np.unique(own, return_index=True)
        fresh = where[new, 0] < 0
        where[new[fresh]] = np.stack([np.full(int(fresh.sum()), number), at[fresh]], 1)
        firsts = where[own]
        for other in np.unique(firsts[:, 0]).tolist():
            rows = np.flatnonzero(firsts[:, 0] == other)
            if not piece.texts.take(rows).equals(pieces[other].texts.take(firsts[rows, 1])):
                raise Collision
