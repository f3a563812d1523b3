"""Units of comparison as spans of bytes: the significant lines of files, or tokens that a lexer made of them.

The definition of a significant line is that of `raysim.corpus.lines.significant_lines`; here it is applied to many
files at once, on their bytes, without an object for each line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

PADDING = 8
"""Bytes behind the last one of a buffer, so that eight can be read at any place."""

_NEWLINE = 0x0A
_SPACES = np.uint64(0x2020202020202020)
_HALF = np.uint64(32)
_WHITE, _FOREIGN = 1, 2
_KINDS = np.zeros(256, dtype=np.uint8)
"""Of bytes: white space of ASCII, or part of another character, which may be white space."""
_KINDS[[code for code in range(128) if chr(code).isspace()]] = _WHITE
_KINDS[128:] = _FOREIGN


@dataclass(frozen=True)
class Texts:
    """Strings of bytes, one after the other.

    Attributes:
        content: uint8.
        starts: int64 ``[num_texts + 1]``, where each begins in `content`, and the end.
    """

    content: Bytes
    starts: Positions

    def take(self, which: Positions) -> "Texts":
        """Some of them, in that order."""
        return cut(self.content, self.starts[which], self.starts[which + 1])

    def equals(self, other: "Texts") -> bool:
        """Whether they are the same, one by one."""
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.content, other.content)


def cut(content: Bytes, begins: Positions, ends: Positions) -> Texts:
    """The texts at some spans of `content`."""
    lengths = ends - begins
    starts = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    return Texts(content[np.repeat(begins - starts[:-1], lengths) + np.arange(starts[-1])], starts)


@dataclass(frozen=True)
class Units:
    """Units of some files, in order.

    Attributes:
        buffer: uint8, all files one after the other, `PADDING` zeros behind.
        begins: int64 ``[num_units]``, where each unit begins in `buffer`.
        ends: int64 ``[num_units]``, where it ends, the end not included.
        numbers: int32 ``[num_units]``, the line of its file (from 1) that each stands in.
        starts: int64 ``[num_files + 1]``, the first unit of each file, and the end.
    """

    buffer: Bytes
    begins: Positions
    ends: Positions
    numbers: npt.NDArray[np.int32]
    starts: Positions

    def texts(self, which: Positions) -> Texts:
        """The bytes of some units."""
        return cut(self.buffer, self.begins[which], self.ends[which])


def join(contents: Sequence[bytes]) -> tuple[Bytes, Positions]:
    """Files in one buffer, a line feed behind each; and where each begins, the end included."""
    begins = np.zeros(len(contents) + 1, dtype=np.int64)
    np.cumsum([len(content) + 1 for content in contents], out=begins[1:])
    return np.frombuffer(b"\n".join([*contents, b"\0" * PADDING]), dtype=np.uint8), begins


def words_of(buffer: Bytes) -> npt.NDArray[np.uint64]:
    """The eight bytes at every place of a buffer as a little-endian number; a view."""
    return np.ndarray(len(buffer) - PADDING + 1, dtype="<u8", buffer=buffer, strides=(1,))


def lines_of(contents: Sequence[bytes]) -> Units:
    """The significant lines of files in UTF-8."""
    buffer, files = join(contents)
    feeds = np.flatnonzero(buffer[: files[-1]] == _NEWLINE)
    begins = np.concatenate([[0], feeds[:-1] + 1]) if len(feeds) else feeds
    # Of each line its number in its file: all lines before it, less those before the file.
    first = np.searchsorted(begins, files)
    numbers = np.arange(1, len(begins) + 1) - np.repeat(first[:-1], np.diff(first))
    begins, ends = _strip(buffer, begins, feeds)
    kept = np.flatnonzero(begins < ends)
    return Units(
        buffer, begins[kept], ends[kept], numbers[kept].astype(np.int32), np.searchsorted(kept, first).astype(np.int64)
    )


def _strip(buffer: Bytes, begins: Positions, ends: Positions) -> tuple[Positions, Positions]:
    """Spans without the white space at their ends, as `str.strip` sees it; a line feed stands behind every span."""
    begins, ends = begins.copy(), ends.copy()
    words = words_of(buffer)
    rows = np.flatnonzero(buffer[begins] == 0x20)
    while len(rows := rows[words[begins[rows]] == _SPACES]):
        begins[rows] += 8
    rows = np.flatnonzero(buffer[begins] == 0x20)
    begins[rows[words[begins[rows]] << _HALF == _SPACES << _HALF]] += 4
    kinds = _KINDS[buffer[begins]]
    rows = np.flatnonzero((kinds == _WHITE) & (begins < ends))
    while len(rows):
        begins[rows] += 1
        rows = rows[begins[rows] < ends[rows]]
        kinds[rows] = _KINDS[buffer[begins[rows]]]
        rows = rows[kinds[rows] == _WHITE]
    filled = begins < ends
    last = _KINDS[buffer[ends - 1]]
    rows = np.flatnonzero((last == _WHITE) & filled)
    while len(rows):
        ends[rows] -= 1  # never beyond its begin, where a byte stands that is not white
        last[rows] = _KINDS[buffer[ends[rows] - 1]]
        rows = rows[last[rows] == _WHITE]
    foreign = np.flatnonzero(((kinds == _FOREIGN) | (last == _FOREIGN)) & filled)
    for row, begin, end in zip(foreign.tolist(), begins[foreign].tolist(), ends[foreign].tolist(), strict=True):
        text = buffer[begin:end].tobytes().decode("utf-8", "surrogatepass")
        begins[row] = begin + len(text[: len(text) - len(text.lstrip())].encode("utf-8", "surrogatepass"))
        ends[row] = max(begins[row], end - len(text[len(text.rstrip()) :].encode("utf-8", "surrogatepass")))
    return begins, ends
