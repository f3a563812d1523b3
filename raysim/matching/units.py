"""Units of comparison as spans of bytes: the significant lines of files, or tokens that a lexer made of them.

The definition of a significant line is that of `raysim.corpus.lines.significant_lines`; here it is applied to many
files at once, on their bytes, without an object for each line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysim.core.windows import Positions

Bytes = npt.NDArray[np.uint8]

BLOCK = 32
"""Bytes that are read at once; NumPy gathers eight as fast as one."""

PADDING = BLOCK
"""Bytes behind the last one of a buffer, so that a block can be read at any place."""

_STRIPPED = 64
"""Rounds in which white space is taken off many spans together; what has more is stripped by itself."""

_LONG = 16 * BLOCK
"""Bytes of a text beyond which it is compared by itself."""

MASKS = (np.tri(BLOCK + 1, BLOCK, -1, dtype=np.uint8) * np.uint8(255)).reshape(-1)
"""For each number of bytes up to that of a block, one after the other: a block with that many of them set."""

NEWLINE, _SPACE, _ASCII = 0x0A, 0x20, 0x7F
_SPACES = np.uint64(0x2020202020202020)
_ONE = np.uint64(1)
_WHITE = np.array([code < 128 and chr(code).isspace() for code in range(256)])
"""Which bytes are white space by themselves; those beyond ASCII are parts of characters, which may be."""


@dataclass(frozen=True)
class Texts:
    """Strings of bytes.

    Attributes:
        content: uint8, that holds them all, `PADDING` more behind.
        begins: int64 ``[num_texts]``, where each begins in `content`.
        ends: int64 ``[num_texts]``, where it ends, the end not included.
    """

    content: Bytes
    begins: Positions
    ends: Positions

    def equal(self, left: Positions, right: Positions) -> bool:
        """Whether the texts of some numbers are those of some other numbers, pair by pair."""
        lengths = self.ends[left] - self.begins[left]
        if not np.array_equal(lengths, self.ends[right] - self.begins[right]):
            return False
        for row in np.flatnonzero(lengths > _LONG).tolist():
            one, other = (self.content[self.begins[i] : self.ends[i]] for i in (left[row], right[row]))
            if not np.array_equal(one, other):
                return False
        rows = np.flatnonzero(lengths <= _LONG)
        left, right, lengths = self.begins[left[rows]], self.begins[right[rows]], lengths[rows]
        while len(lengths):
            differ = blocks_at(self.content, left) ^ blocks_at(self.content, right)
            if (differ & blocks_at(MASKS, BLOCK * np.minimum(lengths, BLOCK))).any():
                return False
            rows = np.flatnonzero(lengths > BLOCK)
            left, right, lengths = left[rows] + BLOCK, right[rows] + BLOCK, lengths[rows] - BLOCK
        return True


def chain(texts: Sequence[Texts]) -> Texts:
    """All texts of several, in order."""
    shifts = np.cumsum([0, *(len(each.content) for each in texts)])[:-1]
    begins, ends = (
        np.concatenate([spans + shift for spans, shift in zip(several, shifts, strict=True)])
        for several in ([each.begins for each in texts], [each.ends for each in texts])
    )
    return Texts(np.concatenate([each.content for each in texts]), begins, ends)


@dataclass(frozen=True)
class Units:
    """Units of some files, in order.

    Attributes:
        buffer: uint8, all files one after the other, `PADDING` zeros behind.
        begins: int64 ``[num_units]``, where each unit begins in `buffer`.
        ends: int64 ``[num_units]``, where it ends, the end not included.
        numbers: int32 ``[num_units]``, the line of its file (from 1) that each is in.
        starts: int64 ``[num_files + 1]``, the first unit of each file, and the end.
    """

    buffer: Bytes
    begins: Positions
    ends: Positions
    numbers: npt.NDArray[np.int32]
    starts: Positions

    def texts(self, which: Positions) -> Texts:
        """The bytes of some units, in ascending order; neighbours are copied together."""
        stretches = np.flatnonzero(np.diff(which, prepend=-2) != 1)
        counts = np.diff(np.append(stretches, len(which)))
        low, high = self.begins[which[stretches]], self.ends[which[stretches + counts - 1]]
        parts = [self.buffer[begin:end] for begin, end in zip(low.tolist(), high.tolist(), strict=True)]
        content = np.concatenate([*parts, np.zeros(PADDING, dtype=np.uint8)])
        shift = np.repeat(np.cumsum(high - low) - high, counts)
        return Texts(content, self.begins[which] + shift, self.ends[which] + shift)


def join(contents: Sequence[bytes]) -> tuple[Bytes, Positions]:
    """Files in one buffer, a line feed behind each; and where each begins, the end included."""
    begins = np.zeros(len(contents) + 1, dtype=np.int64)
    np.cumsum([len(content) + 1 for content in contents], out=begins[1:])
    return np.frombuffer(b"\n".join([*contents, b"\0" * PADDING]), dtype=np.uint8), begins


def blocks_at(buffer: Bytes, places: Positions) -> npt.NDArray[np.uint64]:
    """The `BLOCK` bytes at some places of a buffer, as little-endian numbers: ``[num_places, BLOCK / 8]``."""
    blocks = np.ndarray(len(buffer) - BLOCK + 1, dtype=f"V{BLOCK}", buffer=buffer, strides=(1,))
    return blocks[places].view("<u8").reshape(len(places), BLOCK // 8)


def lines_in(buffer: Bytes, files: Positions) -> Units:
    """The significant lines of files in a buffer, given where each begins, and the end; as `join` makes them."""
    ends = _feeds(buffer[: files[-1]])
    begins = np.zeros_like(ends)
    begins[1:] = ends[:-1] + 1
    # Of each line its number in its file: all lines before it, less those before the file.
    first = np.searchsorted(begins, files)
    _strip(buffer, begins, ends)
    kept = np.flatnonzero(begins < ends)
    starts = np.searchsorted(kept, first)
    numbers = kept + 1 - np.repeat(first[:-1], np.diff(starts))
    return Units(buffer, begins[kept], ends[kept], numbers.astype(np.int32), starts)


def spans_in(buffer: Bytes, files: Positions, begins: Positions, ends: Positions) -> Units:
    """Likewise spans of the files, in order, without the white space at their ends, if there is anything else."""
    begins, ends = begins.copy(), ends.copy()
    _strip(buffer, begins, ends)
    kept = np.flatnonzero(begins < ends)
    begins, ends = begins[kept], ends[kept]
    feeds = _feeds(buffer[: files[-1]])
    starts = np.searchsorted(begins, files)
    numbers = np.searchsorted(feeds, begins) + 1 - np.repeat(np.searchsorted(feeds, files[:-1]), np.diff(starts))
    return Units(buffer, begins, ends, numbers.astype(np.int32), starts)


def _feeds(buffer: Bytes) -> Positions:
    """Where line feeds are; eight bytes are looked at together, as most of them hold none or one."""
    eights = np.packbits(buffer == NEWLINE, bitorder="little")
    at = np.flatnonzero(eights != 0)
    bits = eights[at]
    counts = np.bitwise_count(bits)
    ends = np.cumsum(counts, dtype=np.int64)
    feeds = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.int64)
    while len(at):
        below = bits - np.uint8(1)
        feeds[ends - counts] = 8 * at + np.bitwise_count(~bits & below)
        more = np.flatnonzero(counts > 1)
        at, ends, bits, counts = at[more], ends[more], (bits & below)[more], counts[more] - np.uint8(1)
    return feeds


def _strip(buffer: Bytes, begins: Positions, ends: Positions) -> None:
    """Takes the white space off the ends of spans, as `str.strip` sees it; a line feed follows the last one."""
    alone = np.zeros(len(begins), dtype=np.bool_)
    rows = np.flatnonzero(buffer[begins] == _SPACE)
    words = np.ndarray(len(buffer) - 7, dtype="<u8", buffer=buffer, strides=(1,))
    for _ in range(_STRIPPED):
        others = words[begins[rows]] ^ _SPACES
        blank = np.bitwise_count(~others & (others - _ONE)) >> 3  # bytes before the first that is no space
        begins[rows] += blank
        if not len(rows := rows[blank == 8]):
            break
    alone[rows] = True
    first = buffer[begins]
    rows = np.flatnonzero((first <= _SPACE) & ~alone)
    for _ in range(_STRIPPED):
        if not len(rows := rows[_WHITE[first[rows]] & (begins[rows] < ends[rows])]):
            break
        begins[rows] += 1
        first[rows] = buffer[begins[rows]]
    alone[rows] = True
    filled = begins < ends
    last = buffer[ends - 1]
    rows = np.flatnonzero((last <= _SPACE) & filled & ~alone)
    for _ in range(_STRIPPED):
        if not len(rows := rows[_WHITE[last[rows]]]):
            break
        ends[rows] -= 1  # never beyond its begin, where there is a byte that is not white
        last[rows] = buffer[ends[rows] - 1]
    alone[rows] = True
    alone |= np.maximum(first, last) > _ASCII
    foreign = np.flatnonzero(alone & filled)
    for row, begin, end in zip(foreign.tolist(), begins[foreign].tolist(), ends[foreign].tolist(), strict=True):
        text = buffer[begin:end].tobytes().decode("utf-8", "surrogatepass")
        begins[row] = begin + len(text[: len(text) - len(text.lstrip())].encode("utf-8", "surrogatepass"))
        ends[row] = max(begins[row], end - len(text[len(text.rstrip()) :].encode("utf-8", "surrogatepass")))
