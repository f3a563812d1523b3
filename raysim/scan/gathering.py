"""From files to the few units that matter: those in windows that are on both sides, compared byte for byte.

Hashes decide what is gathered. Equal windows have equal hashes, so none is missed; what is gathered for a hash alone is
distinguished here, where every unit is compared with the first of its hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raysim.core.windows import Hashes, Positions, inside_one, spread, window_hashes
from raysim.matching.runs import Ids
from raysim.matching.units import Texts, chain
from raysim.matching.window_set import WindowSet
from raysim.scan.chunks import Chunk


class Collision(Exception):
    """Two units that differ have one hash."""


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
    hashes = _join([piece.hashes for piece in everything], np.uint64)
    order = np.argsort(hashes)
    new = np.flatnonzero(np.diff(hashes[order], prepend=~hashes[order[:1]]))
    ids = np.empty(len(order), dtype=np.int32)
    ids[order] = np.repeat(np.arange(len(new), dtype=np.int32), np.diff(np.append(new, len(order))))
    if len(new):
        first = np.minimum.reduceat(order, new)[ids]
        again = np.flatnonzero(first != np.arange(len(ids)))
        if not chain([piece.texts for piece in everything]).equal(again, first[again]):
            raise Collision
    parts = np.repeat(np.arange(len(pieces), dtype=np.int32), sizes)
    files = _join([piece.files for piece in everything], np.int32)
    places = _join([piece.places for piece in everything], np.int32)
    begins = np.ones(len(ids), dtype=np.bool_)
    begins[1:] = (parts[1:] != parts[:-1]) | (files[1:] != files[:-1]) | (places[1:] != places[:-1] + 1)
    starts = np.append(np.flatnonzero(begins), len(ids))
    return Gathered(ids, parts, files, _join([piece.numbers for piece in everything], np.int32), starts)


def _join(arrays: Sequence[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])
