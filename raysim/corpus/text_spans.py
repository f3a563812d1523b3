"""Parts of a text that are found and replaced."""

from collections.abc import Iterable
from typing import NamedTuple


class TextSpan(NamedTuple):
    """Characters of a text.

    Attributes:
        start: first character, from 0.
        end: behind the last one.
        kind: what it is.
    """

    start: int
    end: int
    kind: str

    def overlaps(self, other: "TextSpan") -> bool:
        """Whether both have a character in common."""
        return self.start < other.end and other.start < self.end


def apart(spans: Iterable[TextSpan]) -> list[TextSpan]:
    """`spans` in order, of those that overlap the one that begins first, and of these the longest."""
    kept: list[TextSpan] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end, one.kind)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


def replaced(text: str, spans: Iterable[tuple[TextSpan, str]]) -> str:
    """`text` with another text in the place of each span; they are in order and do not overlap."""
    parts, at = list[str](), 0
    for span, other in spans:
        parts += [text[at : span.start], other]
        at = span.end
    return "".join([*parts, text[at:]])
