"""The unit of a corpus: one source file with where it comes from."""

from dataclasses import dataclass


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
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def num_bytes(self) -> int:
        return len(self.text.encode())
