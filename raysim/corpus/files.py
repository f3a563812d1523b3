"""The unit of a corpus: one source file with where it comes from; its text in memory or on disk."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from raysim.core.spool import Spool, Spooled

T = TypeVar("T")
Columns = tuple[tuple[str, str], ...]

BATCH_SIZE = 2_000_000
"""Characters or bytes of text that are worked on at a time: enough for all cores, and some 60 MB of tokens."""


@dataclass(frozen=True)
class SourceFile:
    """One file of an organization.

    Attributes:
        path: names the file within its organization, with ``/`` between parts; record inputs are ``FILE#N``.
        text: the content, decoded, line ends untouched.
        repository: the repository (or installed package) it belongs to.
        licence: as its source states it, or None where the source states none.
        columns: names and values of further columns of its record that were asked for, without those that hold nothing.
    """

    path: str
    text: str
    repository: str
    licence: str | None = None
    columns: Columns = ()

    @property
    def num_bytes(self) -> int:
        return len(self.text.encode())

    @property
    def held_bytes(self) -> int:
        """Of its text in memory."""
        return self.num_bytes

    def named(self, path: str) -> "SourceFile":
        """The same file under another name."""
        return replace(self, path=path)

    def licensed(self, licence: str) -> "SourceFile":
        """The same file under a licence."""
        return replace(self, licence=licence)


class SpooledFile(SourceFile):
    """A source file whose text lies in a spool and is read there whenever it is asked for.

    It travels as a plain `SourceFile`, and one that is made of it by `dataclasses.replace` is plain.
    """

    def __new__(cls, path: str, text: str | Spooled, repository: str, *rest: Any, **others: Any) -> Any:
        return SourceFile(path, text, repository, *rest, **others) if isinstance(text, str) else super().__new__(cls)

    def __init__(
        self, path: str, text: Spooled, repository: str, licence: str | None = None, columns: Columns = ()
    ) -> None:
        given = {"path": path, "_piece": text, "repository": repository, "licence": licence, "columns": columns}
        for name, value in given.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "text":
            return self._piece.read().decode()
        raise AttributeError(f"{type(self).__name__} has no {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return SourceFile, (self.path, self.text, self.repository, self.licence, self.columns)

    @property
    def num_bytes(self) -> int:
        return self._piece.num_bytes

    @property
    def held_bytes(self) -> int:
        return 0

    def named(self, path: str) -> SourceFile:
        return SpooledFile(path, self._piece, self.repository, self.licence, self.columns)

    def licensed(self, licence: str) -> SourceFile:
        return SpooledFile(self.path, self._piece, self.repository, licence, self.columns)


def make_file(
    path: str, text: str, repository: str, licence: str | None, columns: Columns = (), spool: Spool | None = None
) -> SourceFile:
    """A source file; its text goes to `spool` if that has no room for it in memory."""
    content = text.encode()
    if spool is None or spool.takes(len(content)):
        return SourceFile(path, text, repository, licence, columns)
    return SpooledFile(path, spool.add(content), repository, licence, columns)


class _Text:
    """Compares files by their texts, which are read only where two of them agree in all else."""

    __slots__ = ("source",)

    def __init__(self, source: SourceFile) -> None:
        self.source = source

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Text) and self.source.text == other.source.text

    def __lt__(self, other: "_Text") -> bool:
        return self.source.text < other.source.text


def identity(source: SourceFile) -> tuple[str, str, _Text]:
    """What files are sorted by where the order of the input must not count: path, repository, text."""
    return source.path, source.repository, _Text(source)


def batches(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Consecutive items of `BATCH_SIZE` together, or one larger item."""
    batch: list[T] = []
    total = 0
    for item in items:
        total += (own := size(item))
        if batch and total > BATCH_SIZE:
            yield batch
            batch, total = [], own
        batch.append(item)
    if batch:
        yield batch
