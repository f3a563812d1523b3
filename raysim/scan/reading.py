"""What counts as a unit: significant lines or tokens, as they are or without comments and names.

Blinding makes all identifiers equal, and all literals of a kind, so that copies which only rename are found, too
(type 2 of Roy, Cordy & Koschke, Sci. Comput. Program. 2009). Lexers say where tokens end and what they are; the rest
is made here of the bytes, of many files at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raysim.core.windows import Positions
from raysim.matching.lexing import COMMENT, KINDS, LITERAL, NAME, OTHER, STRING, Tokens, lex, lexer_name
from raysim.matching.units import NEWLINE, Bytes, Units, join, lines_in, spans_in

Unit = Literal["lines", "tokens"]

_MARKS = np.zeros(KINDS, dtype=np.uint8)
"""What replaces all tokens of a kind where units are blind."""
_MARKS[[NAME, STRING, LITERAL]] = list(b"_'0")

_FEED = np.array([KINDS + OTHER], dtype=np.uint32)
"""The line feed behind each file in a buffer."""


@dataclass(frozen=True)
class Reader:
    """Makes units of files.

    Attributes:
        unit: significant lines (`raysim.corpus.lines.significant_lines`), or tokens other than white space.
        ignore_comments: leaves comments out; a line of nothing else is no significant line then.
        blind: makes identifiers equal, and strings, and numbers.
    """

    unit: Unit = "lines"
    ignore_comments: bool = False
    blind: bool = False

    @property
    def lexes(self) -> bool:
        """Whether lexers are at work, which takes hundreds of times as long."""
        return self.unit == "tokens" or self.ignore_comments or self.blind

    def describe(self) -> str:
        """How units are compared, behind their name: nothing, or after a semicolon."""
        ways = [("comments left out", self.ignore_comments), ("names and literals taken as equal", self.blind)]
        return "".join(f"; {way}" for way, asked in ways if asked)

    def __call__(
        self, paths: Sequence[str], contents: Sequence[bytes], tokens: Sequence[Tokens] | None = None
    ) -> Units:
        """The units of files.

        Args:
            paths: of the files, by which lexers are chosen.
            contents: in UTF-8.
            tokens: of each file; None: they are made where they are needed.
        """
        buffer, starts = join(contents)
        if not self.lexes:
            return lines_in(buffer, starts)
        if tokens is None:
            tokens = [lex(lexer_name(path), content) for path, content in zip(paths, contents, strict=True)]
        return self._units(buffer, starts, tokens)

    def _units(self, buffer: Bytes, starts: Positions, tokens: Sequence[Tokens]) -> Units:
        packed = np.concatenate([part for of_file in tokens for part in (of_file, _FEED)] or [_FEED[:0]])
        lengths, kinds = (packed // KINDS).astype(np.int64), packed % KINDS
        ends = np.cumsum(lengths)
        begins = ends - lengths
        equal = (kinds >= NAME) if self.blind else np.zeros(len(kinds), dtype=np.bool_)
        dropped = (equal | (kinds == COMMENT)) if self.ignore_comments else equal
        # Lexers take a string apart; one mark replaces all of it. Line feeds stay, so that lines keep their numbers.
        follows = (kinds == STRING) & (np.append(OTHER, kinds[:-1])[: len(kinds)] == STRING)
        marked = np.flatnonzero(equal & ~follows & (buffer[begins] != NEWLINE))
        buffer = buffer.copy()
        buffer[begins[marked]] = _MARKS[kinds[marked]]
        if self.unit == "tokens":
            ends[dropped] = begins[dropped]
            ends[marked] = begins[marked] + 1
            return spans_in(buffer, starts, begins, ends)
        content = buffer[: starts[-1]]
        kept = np.repeat(~dropped, lengths) | (content == NEWLINE)
        kept[begins[marked]] = True
        before = np.append(0, np.cumsum(kept))
        return lines_in(np.append(content[kept], buffer[starts[-1] :]), before[starts])
