"""What a source gave: its files, and what it could not give, counted by reason."""

from collections.abc import Iterable
from dataclasses import dataclass

from raysim.corpus.corpus import Drop
from raysim.corpus.files import SourceFile


@dataclass(frozen=True)
class SourceReading:
    """The files of one source, sorted by path, each path once, and what was skipped."""

    files: tuple[SourceFile, ...]
    skipped: tuple[Drop, ...]


class DropCounter:
    """Counts files and bytes by reason, in the order in which the reasons first occur."""

    def __init__(self, drops: Iterable[Drop] = ()) -> None:
        self._counts: dict[str, list[int]] = {}
        for drop in drops:
            self.add(drop.reason, drop.num_bytes, drop.files)

    def add(self, reason: str, num_bytes: int, files: int = 1) -> None:
        count = self._counts.setdefault(reason, [0, 0])
        count[0] += files
        count[1] += num_bytes

    def drops(self) -> tuple[Drop, ...]:
        return tuple(Drop(reason, files, num_bytes) for reason, (files, num_bytes) in self._counts.items())


def text_problem(text: str | None) -> str | None:
    """Why `text` cannot be a source file, or None if it can; `text` is None where bytes could not be decoded."""
    if text is None:
        return "not UTF-8"
    if not text.strip():
        return "empty"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    return None
