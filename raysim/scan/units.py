"""Units of comparison as spans of bytes: the significant lines of files, or tokens that a lexer made of them.

The definition of a significant line is that of `raysim.corpus.lines.significant_lines`; here it is applied to many
files at once, on their bytes, without an object for each line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

PADDING = 8
"""Bytes behind the last one of a buffer, so that eight can be read at any place."""

_NEWLINE = 0x0A
_SPACES = np.uint64(0x2020202020202020)
_WHITE = np.zeros(256, dtype=np.bool_)
_WHITE[[code for code in range(128) if chr(code).isspace()]] = True


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

    def texts(self, which: Positions) -> pa.Array:
        """The bytes of some units, as an array of ``binary``."""
        # Spans are not adjacent, as offsets of an Arrow array must be; so the gaps between them are elements, too.
        offsets = np.empty(2 * len(which), dtype=np.int64)
        order = np.argsort(which, kind="stable")
        offsets[0::2], offsets[1::2] = self.begins[which[order]], self.ends[which[order]]
        spans = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), max(0, len(offsets) - 1), [None, pa.py_buffer(offsets), pa.py_buffer(self.buffer)]
        )
        back = np.empty(len(which), dtype=np.int64)
        back[order] = 2 * np.arange(len(which))
        return spans.take(pa.array(back))


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
    while len(rows):
        rows = rows[words[begins[rows]] == _SPACES]
        begins[rows] += 8
    rows = np.flatnonzero(begins < ends)
    while len(rows := rows[_WHITE[buffer[begins[rows]]]]):
        begins[rows] += 1
        rows = rows[begins[rows] < ends[rows]]
    rows = np.flatnonzero(begins < ends)
    while len(rows := rows[_WHITE[buffer[ends[rows] - 1]]]):
        ends[rows] -= 1  # never beyond its begin, where a byte stands that is not white
    rows = np.flatnonzero(begins < ends)
    foreign = rows[(buffer[begins[rows]] >= 0x80) | (buffer[ends[rows] - 1] >= 0x80)]
    for row, begin, end in zip(foreign.tolist(), begins[foreign].tolist(), ends[foreign].tolist(), strict=True):
        text = buffer[begin:end].tobytes().decode("utf-8", "surrogatepass")
        begins[row] = begin + len(text[: len(text) - len(text.lstrip())].encode("utf-8", "surrogatepass"))
        ends[row] = max(begins[row], end - len(text[len(text.rstrip()) :].encode("utf-8", "surrogatepass")))
    return begins, ends
