"""What a source gave: its files, and what it could not give, counted by reason."""

from collections.abc import Iterable
from dataclasses import dataclass

from raysim.core.lfs import is_lfs_pointer
from raysim.corpus.corpus import Drop
from raysim.corpus.encoding import clean, decode_source
from raysim.corpus.files import SourceFile

UNDECODABLE = "not UTF-8"


@dataclass(frozen=True)
class SourceReading:
    """The files of one source, sorted by path, each path once, and what was skipped."""

    files: tuple[SourceFile, ...]
    skipped: tuple[Drop, ...]


class DropCounter:
    """Counts files and bytes by reason, in the order in which the reasons first occur.

    Args:
        drops: to begin with.
        parts: counters whose counts are part of this one's, whenever it is asked.
    """

    def __init__(self, drops: Iterable[Drop] = (), parts: Iterable["DropCounter"] = ()) -> None:
        self._counts: dict[str, list[int]] = {}
        self._parts = tuple(parts)
        for drop in drops:
            self.add(drop.reason, drop.num_bytes, drop.files)

    def add(self, reason: str, num_bytes: int, files: int = 1) -> None:
        count = self._counts.setdefault(reason, [0, 0])
        count[0] += files
        count[1] += num_bytes

    def drops(self) -> tuple[Drop, ...]:
        own = tuple(Drop(reason, files, num_bytes) for reason, (files, num_bytes) in self._counts.items())
        if not self._parts:
            return own
        return DropCounter([*own, *(drop for part in self._parts for drop in part.drops())]).drops()


def read_as_text(content: bytes | str) -> tuple[str | None, str]:
    """The text of a source file, or None and why it is none."""
    text = decode_source(content) if isinstance(content, bytes) else clean(content)
    problem = text_problem(text)
    return (None, problem) if problem else (text, "")


def text_problem(text: str | None) -> str | None:
    """Why `text` cannot be a source file, or None if it can; `text` is None where bytes could not be decoded."""
    if text is None:
        return UNDECODABLE
    if not text.strip():
        return "empty"
    if is_lfs_pointer(text):
        return "a Git LFS pointer, not the file (git lfs pull fetches it)"
    try:
        text.encode()
    except UnicodeEncodeError:
        return UNDECODABLE
    return None
