"""Bytes that are written once and read again: in memory while they are few, then on disk."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HELD_BYTES = 64_000_000
"""What a spool has in memory, at most."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A piece of a spool, which lives as long as its pieces do."""

    spool: "Spool"
    begin: int
    num_bytes: int

    def read(self) -> bytes:
        """Reads the piece.

        Raises:
            OSError: the disk gives less than was written to it.
        """
        return self.spool.read(self.begin, self.num_bytes)


class Spool:
    """Keeps bytes beyond the first `held_bytes` in a file that has no name: it is gone when nobody can read it.

    Args:
        folder: where the file lies; None: where temporary files do.
        held_bytes: kept in memory; None: `HELD_BYTES`.
    """

    def __init__(self, folder: Path | None = None, held_bytes: int | None = None) -> None:
        self._folder = folder
        self._left_bytes = HELD_BYTES if held_bytes is None else held_bytes
        self._file: BinaryIO | None = None
        self._end = 0

    def takes(self, num_bytes: int) -> bool:
        """Whether so many bytes more are to be held in memory; says it once for them."""
        if num_bytes > self._left_bytes:
            return False
        self._left_bytes -= num_bytes
        return True

    def add(self, content: bytes) -> Spooled:
        """Writes `content` to disk.

        Raises:
            OSError: the disk is full, for example.
        """
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        begin = self._end
        rest = memoryview(content)
        while rest:
            rest = rest[os.pwrite(self._file.fileno(), rest, self._end) :]
            self._end = begin + len(content) - len(rest)
        return Spooled(self, begin, len(content))

    def read(self, begin: int, num_bytes: int) -> bytes:
        """Bytes that were written, for a `Spooled`."""
        assert self._file is not None, "it has pieces"
        parts: list[bytes] = []
        while num_bytes:
            part = os.pread(self._file.fileno(), num_bytes, begin)
            if not part:
                raise OSError(f"{self._file.name}: ends too early")
            parts.append(part)
            begin, num_bytes = begin + len(part), num_bytes - len(part)
        return b"".join(parts)
