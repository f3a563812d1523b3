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

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.errors import InputError
from raysim.scan.corpora import CHUNK_BYTES, LEXED_CHUNK_BYTES, Corpus
from raysim.scan.hashing import Hashes, hash_units, window_hashes
from raysim.scan.reading import Reader
from raysim.scan.runs import Ids
from raysim.scan.units import Mask, Positions
from raysim.scan.windows import inside_one, spread


class Collision(Exception):
    """Two units that differ have one hash."""


@dataclass(frozen=True)
class Hashed:
    """Units of consecutive files of a corpus, known by their hashes.

    Attributes:
        first: number of the first of the files.
        hashes: uint64 ``[num_units]``.
        numbers: int32 ``[num_units]``, the line of its file (from 1) that each stands in.
        starts: int64 ``[num_files + 1]``, the first unit of each file, and the end.
    """

    first: int
    hashes: Hashes
    numbers: npt.NDArray[np.int32]
    starts: Positions

    def windows(self, length: int) -> tuple[Hashes, Mask]:
        """Hashes of all windows, and which of them stay inside one file."""
        return window_hashes(self.hashes, length), inside_one(self.starts, length)


@dataclass(frozen=True)
class Piece:
    """Units of one corpus that were gathered, in its order.

    Attributes:
        files: int32 ``[num_units]``, numbers of their files.
        units: int32 ``[num_units]``, which unit of its file each is.
        numbers: int32 ``[num_units]``, lines from 1.
        hashes: uint64 ``[num_units]``.
    """

    files: npt.NDArray[np.int32]
    units: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int32]
    hashes: Hashes


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


def hashed_chunks(corpus: Corpus, reader: Reader, seed: int) -> Iterator[Hashed]:
    """All units of a corpus, many files at a time; the next ones are made meanwhile."""
    workers = os.cpu_count() or 1
    # A lexer is Python, which threads do not speed up.
    pool = ProcessPoolExecutor(workers, get_context("spawn")) if reader.lexes else ThreadPoolExecutor(workers)
    with pool:
        ahead = deque[Future[Hashed]]()
        for first, contents in corpus.chunks(LEXED_CHUNK_BYTES if reader.lexes else CHUNK_BYTES):
            paths = corpus.paths[first : first + len(contents)]
            ahead.append(pool.submit(_hashed, reader, first, paths, contents, seed))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _hashed(reader: Reader, first: int, paths: Sequence[str], contents: Sequence[bytes], seed: int) -> Hashed:
    units = reader(paths, contents)
    return Hashed(first, hash_units(units, seed), units.numbers, units.starts)


def whole(chunks: Iterator[Hashed]) -> Hashed:
    """Chunks in one."""
    parts = list(chunks)
    ends = np.cumsum([0, *(len(part.hashes) for part in parts)])
    return Hashed(
        0,
        np.concatenate([np.zeros(0, np.uint64), *(part.hashes for part in parts)]),
        np.concatenate([np.zeros(0, np.int32), *(part.numbers for part in parts)]),
        np.concatenate(
            [np.zeros(1, np.int64), *(part.starts[1:] + end for part, end in zip(parts, ends, strict=False))]
        ),
    )


def pick(hashed: Hashed, matched: Mask, length: int) -> Piece:
    """The units that lie in a matched window of `length`."""
    kept = np.flatnonzero(spread(matched, len(hashed.hashes), length))
    file = np.searchsorted(hashed.starts, kept, side="right") - 1
    return Piece(
        (file + hashed.first).astype(np.int32),
        (kept - hashed.starts[file]).astype(np.int32),
        hashed.numbers[kept],
        hashed.hashes[kept],
    )


def gather(corpora: Sequence[Corpus], pieces: Sequence[Sequence[Piece]], reader: Reader) -> Gathered:
    """Puts pieces together, those of each corpus in its order.

    Raises:
        Collision: two of the units differ and have one hash.
        InputError: a file changed since it was hashed.
    """
    joined = [_join(of_corpus) for of_corpus in pieces]
    hashes, ids = np.unique(np.concatenate([piece.hashes for piece in joined]), return_inverse=True)
    ids = ids.astype(np.int32)
    parts = np.repeat(np.arange(len(joined), dtype=np.int32), [len(piece.hashes) for piece in joined])
    files = np.concatenate([piece.files for piece in joined])
    units = np.concatenate([piece.units for piece in joined])
    _verify(
        corpora, joined, np.split(ids, np.cumsum([len(piece.hashes) for piece in joined])[:-1]), len(hashes), reader
    )
    begins = np.ones(len(ids), dtype=np.bool_)
    begins[1:] = (parts[1:] != parts[:-1]) | (files[1:] != files[:-1]) | (units[1:] != units[:-1] + 1)
    starts = np.append(np.flatnonzero(begins), len(ids))
    return Gathered(ids, parts, files, np.concatenate([piece.numbers for piece in joined]), starts)


def _join(pieces: Sequence[Piece]) -> Piece:
    empty = np.zeros(0, dtype=np.int32)
    return Piece(
        np.concatenate([empty, *(piece.files for piece in pieces)]),
        np.concatenate([empty, *(piece.units for piece in pieces)]),
        np.concatenate([empty, *(piece.numbers for piece in pieces)]),
        np.concatenate([np.zeros(0, dtype=np.uint64), *(piece.hashes for piece in pieces)]),
    )


def _verify(
    corpora: Sequence[Corpus], pieces: Sequence[Piece], ids: Sequence[Ids], num_ids: int, reader: Reader
) -> None:
    """Compares every unit with the first that has its hash."""
    known = pa.array([], pa.large_binary())
    place = np.full(num_ids, -1, dtype=np.int64)  # in `known` of each id
    for corpus, piece, own in zip(corpora, pieces, ids, strict=True):
        for low, high, texts in _texts(corpus, piece, reader):
            new, at = np.unique(own[low:high], return_index=True)
            fresh = place[new] < 0
            place[new[fresh]] = len(known) + np.arange(int(fresh.sum()))
            known = pa.concat_arrays([known, texts.take(pa.array(at[fresh]))])
            if not texts.equals(known.take(pa.array(place[own[low:high]]))):
                raise Collision


def _texts(corpus: Corpus, piece: Piece, reader: Reader) -> Iterator[tuple[int, int, pa.Array]]:
    """The bytes of the units of a piece, read again, of many at a time: from, to, and they."""
    numbers, begins = np.unique(piece.files, return_index=True)
    begins = np.append(begins, len(piece.files))
    taken, contents, size = 0, list[bytes](), 0
    for count, number in enumerate(numbers.tolist(), start=1):
        contents.append(corpus.read(number))
        size += len(contents[-1])
        if size < CHUNK_BYTES and count < len(numbers):
            continue
        units = reader([corpus.paths[n] for n in numbers[taken:count].tolist()], contents)
        low, high = int(begins[taken]), int(begins[count])
        file = np.repeat(np.arange(count - taken), np.diff(begins[taken : count + 1]))
        which = units.starts[file] + piece.units[low:high]
        if (which >= units.starts[file + 1]).any():
            raise InputError(f"{corpus.name}: files changed while they were read; run the command again")
        yield low, high, units.texts(which)
        taken, contents, size = count, [], 0
