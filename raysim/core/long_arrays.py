"""Arrays that are made piece by piece, and lie on disk where they are too long for memory."""

import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import numpy as np
import numpy.typing as npt

S = TypeVar("S", bound=np.generic)

HELD_BYTES = 32_000_000
"""Of an array in memory, at most."""


class LongArray(Generic[S]):
    """An array that grows at its end.

    Args:
        dtype: of its elements.
        folder: where the file without a name lies that a long one goes to; None: where temporary files do.
    """

    def __init__(self, dtype: type[S], folder: Path | None = None) -> None:
        self._dtype = dtype
        self._folder = folder
        self._parts: list[npt.NDArray[S]] = []
        self._held_bytes = 0
        self._file: BinaryIO | None = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, part: npt.NDArray[Any]) -> None:
        """Adds elements, in C order.

        Raises:
            OSError: the disk is full, for example.
        """
        self._parts.append(np.ascontiguousarray(part, self._dtype).reshape(-1))
        self._length += part.size
        self._held_bytes += self._parts[-1].nbytes
        if self._held_bytes > HELD_BYTES:
            self._write()

    def whole(self) -> npt.NDArray[S]:
        """All elements in one dimension, read-only; on disk they are memory-mapped, for as long as the array lives."""
        if self._file is None:
            found = np.concatenate([np.empty(0, self._dtype), *self._parts])
        else:
            self._write()
            # Plain, since a memmap is pickled as bytes in a pickle and not as a buffer beside it.
            found = np.memmap(self._file, self._dtype, "r", shape=(self._length,)).view(np.ndarray)
        found.flags.writeable = False
        return found

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        for part in self._parts:
            self._file.write(part.data)
        self._file.flush()
        self._parts, self._held_bytes = [], 0
