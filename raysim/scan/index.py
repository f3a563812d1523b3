"""What lexers made of files, kept in a folder: nothing is lexed twice that has not changed.

A file is known by a hash of its content and by what chose its lexer. The data that a file system keeps about a file
would be faster to look at, but they can be wrong where nobody would know: times that were set back, clocks that differ,
systems that keep whole seconds. Besides, contents are found again after a renaming, a check-out and a copy, and reading
costs a hundredth of lexing. What is kept are the ends and kinds of tokens, no text: units are made of the files
themselves in each run, and compared byte for byte.

The folder holds segments, which are written under another name and never changed. So any number of processes may read
and write one folder at once, and each finds what the others had when it began. A segment ends with a hash of all of it;
one that does not hold what that promises, as of a write that was cut short, is removed, and its files are lexed again.
"""

import hashlib
import itertools
import mmap
import os
import secrets
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from raysim.core.errors import InputError
from raysim.matching.lexing import Tokens

_FORMAT = "tokens-2"
_MAGIC = f"raysim {_FORMAT}\n".encode()
_KEY_BYTES = 32
_DIGEST_BYTES = 16
_PENDING_BYTES = 8 << 20
"""Of tokens that wait to be written; a run that is killed loses no more."""

_MOST_SEGMENTS = 8
"""More of them are written anew as one."""

_MOST_UNUSED = 4
"""This many times what a run used may lie unused when segments are written anew."""

_ABANDONED_S = 3600.0
"""Age of an unfinished segment that nobody is writing any more."""


def content_key(lexer: str, content: bytes) -> bytes:
    """What a file is known by, given its `lexer_name` and its content."""
    key = hashlib.blake2b(lexer.encode("utf-8", "surrogateescape") + b"\0", digest_size=_KEY_BYTES)
    key.update(content)
    return key.digest()


@dataclass(frozen=True)
class _Segment:
    """A file of the folder, in memory as far as it is used."""

    path: Path
    keys: list[bytes]
    starts: list[int]
    tokens: Tokens

    def entries(self) -> Iterator[tuple[bytes, Tokens]]:
        for key, begin, end in zip(self.keys, self.starts[:-1], self.starts[1:], strict=True):
            yield key, self.tokens[begin:end]


class Index:
    """The tokens of files by `content_key`; several threads may use it.

    Args:
        folder: where they are kept; made if there is none.

    Attributes:
        problem: why something could not be written, or None.

    Raises:
        InputError: `folder` is none and cannot be made one.
    """

    def __init__(self, folder: Path) -> None:
        import pygments

        self.problem: str | None = None
        self._given = folder
        # Another version of the lexers may find other tokens.
        self._folder = folder / f"{_FORMAT}-pygments-{pygments.__version__}-unicode-{unicodedata.unidata_version}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._segments = [segment for path in sorted(self._folder.iterdir()) if (segment := _open(path))]
        except OSError as error:
            raise InputError(
                f"--index {folder}: {error.strerror}; name a folder that can be made, or leave --index out"
            ) from None
        self._known = {key: tokens for segment in self._segments for key, tokens in segment.entries()}
        self._used = set[bytes]()
        self._pending: dict[bytes, Tokens] = {}
        self._pending_bytes = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._flush()
            if len(self._segments) > _MOST_SEGMENTS:
                self._compact()

    def find(self, key: bytes) -> Tokens | None:
        """The tokens of a file, or None if it was never lexed."""
        with self._lock:
            tokens = self._known.get(key)
            if tokens is not None:
                self._used.add(key)
            return tokens

    def add(self, key: bytes, tokens: Tokens) -> None:
        """Keeps the tokens of a file."""
        with self._lock:
            self._used.add(key)
            self._known[key] = self._pending[key] = tokens
            self._pending_bytes += tokens.nbytes
            if self._pending_bytes >= _PENDING_BYTES:
                self._flush()

    def _flush(self) -> None:
        if self._pending and (segment := self._write(self._pending)):
            self._segments.append(segment)
            self._known.update(segment.entries())  # what is in a file need not be in memory
        self._pending, self._pending_bytes = {}, 0

    def _compact(self) -> None:
        unused = self._known.keys() - self._used
        kept = self._used if len(unused) > _MOST_UNUSED * len(self._used) else self._known.keys()
        segment = self._write({key: self._known[key] for key in sorted(kept)})
        if segment:
            for old in self._segments:
                if old.path != segment.path:
                    with suppress(OSError):
                        old.path.unlink()
            self._segments = [segment]

    def _write(self, entries: dict[bytes, Tokens]) -> _Segment | None:
        """A new segment of some files; None if it could not be written, which is reported once and costs time alone."""
        if self.problem:
            return None
        unfinished = self._folder / f"{secrets.token_hex(8)}.unfinished"
        try:
            digest = _write(unfinished, list(entries), list(entries.values()))
            path = self._folder / f"{digest}.tokens"
            unfinished.replace(path)
            return _open(path)
        except OSError as error:
            self.problem = f"--index {self._given}: not written: {error.strerror}"
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            return None


def _write(path: Path, keys: Sequence[bytes], tokens: Sequence[Tokens]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    starts = np.cumsum([0, *map(len, tokens)], dtype="<i8")
    head = (_MAGIC, len(keys).to_bytes(8, "little"), b"".join(keys), starts.tobytes())
    with open(path, "wb") as file:
        for part in itertools.chain(head, (each.astype("<u4", copy=False).tobytes() for each in tokens)):
            file.write(part)
            digest.update(part)
        file.write(digest.digest())
    return digest.hexdigest()


def _open(path: Path) -> _Segment | None:
    """A segment; None if it is none, or damaged, which removes it."""
    with suppress(OSError):
        if path.suffix == ".tokens":
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
            if segment := _parse(path, content):
                return segment
            path.unlink()
        elif path.suffix == ".unfinished" and time.time() - path.stat().st_mtime > _ABANDONED_S:
            path.unlink()
    return None


def _parse(path: Path, content: mmap.mmap | bytes) -> _Segment | None:
    with memoryview(content) as view:
        body = max(0, len(view) - _DIGEST_BYTES)
        if hashlib.blake2b(view[:body], digest_size=_DIGEST_BYTES).digest() != view[body:]:
            return None
    at = len(_MAGIC)
    num_files = int.from_bytes(content[at : (at := at + 8)], "little")
    keys = content[at : (at := at + _KEY_BYTES * num_files)]
    starts = np.frombuffer(content, "<i8", num_files + 1, at).tolist()
    tokens = np.frombuffer(content, "<u4", starts[-1], at + 8 * len(starts))
    return _Segment(path, [keys[i : i + _KEY_BYTES] for i in range(0, len(keys), _KEY_BYTES)], starts, tokens)
