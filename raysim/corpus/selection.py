"""Which files of a folder, a package or a record file are wanted, and what the others are."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from raysim.corpus.patterns import matcher
from raysim.corpus.reading import DropCounter

_NOT_INCLUDED = "not matched by include"
_EXCLUDED = "left out by exclude"
_MOST_ENDINGS = 12
"""That are counted by themselves."""
_OTHERS = "other endings"
_ENDING = re.compile("[A-Za-z0-9_+-]{1,10}")
"""What a kind of file is known by; what is longer or odd may be part of a name, which stays at its organization."""


def was_read(reason: str) -> bool:
    """Whether files that are left out for `reason` were read; those whose paths nobody asked for were not."""
    return not reason.removeprefix("held out: ").startswith((_NOT_INCLUDED, _EXCLUDED))


class Selection:
    """Chooses files by their paths, and counts those that no pattern asks for by their endings.

    What is left out by default (hidden folders, installed packages) and what Python caches is not counted: it is
    nobody's code.

    Args:
        include: globs over paths.
        exclude: globs over paths that are left out all the same.
        counter: takes what is left out, when the block ends.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str], counter: DropCounter) -> None:
        self._included, self._excluded = matcher(include), matcher(exclude)
        self._counter = counter
        self._endings = DropCounter()

    def takes(self, path: str, size: Callable[[], int | None]) -> bool:
        """Whether the file at `path` is wanted; asks for its `size` in bytes if not, which is None if there is none."""
        if self._included(path):
            if not self._excluded(path):
                return True
            if (num_bytes := size()) is not None:
                self._counter.add(_EXCLUDED, num_bytes)
        elif "__pycache__/" not in path and not self._excluded(path) and (num_bytes := size()) is not None:
            self._endings.add(_ending(path), num_bytes)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        found = sorted(self._endings.drops(), key=lambda drop: (-drop.files, drop.reason))
        for place, drop in enumerate(found):
            ending = drop.reason if place < _MOST_ENDINGS else _OTHERS
            self._counter.add(f"{_NOT_INCLUDED}: {ending}", drop.num_bytes, drop.files)


def _ending(path: str) -> str:
    stem, dot, ending = path.rpartition("/")[2].rpartition(".")
    if not (dot and stem):
        return "no ending"
    return f".{ending}" if _ENDING.fullmatch(ending) else _OTHERS


def size_of(location: str | os.PathLike[str]) -> int | None:
    """Bytes of a file, or None if there is none."""
    with suppress(OSError):
        return os.stat(location).st_size
    return None
