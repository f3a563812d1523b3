"""What counts as a unit: significant lines or tokens, as they stand or without comments and names.

Lexers are those of Pygments, chosen by the names of files. Blinding makes all identifiers equal, and all literals of a
kind, so that copies which only rename are found, too (type 2 of Roy, Cordy & Koschke, Sci. Comput. Program. 2009).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from raysim.scan.units import Units, join, lines_of

Unit = Literal["lines", "tokens"]

_NAME, _STRING, _NUMBER = "_", "''", "0"


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
        """Whether lexers are at work, which takes a hundred times as long."""
        return self.unit == "tokens" or self.ignore_comments or self.blind

    def __call__(self, paths: Sequence[str], contents: Sequence[bytes]) -> Units:
        """The units of files, given their paths and contents in UTF-8."""
        if not self.lexes:
            return lines_of(contents)
        tokens = [list(self._tokens(path, content)) for path, content in zip(paths, contents, strict=True)]
        if self.unit == "lines":
            return lines_of(["".join(text for _, text in of_file).encode() for of_file in tokens])
        return _units(tokens)

    def _tokens(self, path: str, content: bytes) -> Iterator[tuple[int, str]]:
        """Tokens with the line that each begins in. Line feeds stay, so that lines keep their numbers."""
        from pygments.token import Comment, Literal, Name, String

        line, string = 1, False
        for _, kind, value in _lexer(path).get_tokens_unprocessed(content.decode()):
            text, feeds = value, "\n" * value.count("\n")
            directive = kind in Comment.Preproc or kind in Comment.PreprocFile
            if self.ignore_comments and kind in Comment and not directive:
                text = feeds
            elif self.blind and kind in String:
                text = feeds if string else _STRING + feeds  # lexers take a string apart
            elif self.blind and kind in Literal:
                text = _NUMBER
            elif self.blind and kind in Name:
                text = _NAME
            string = kind in String
            if text:
                yield line, text
            line += len(feeds)


@cache
def _lexer_of(name: str) -> Any:
    from pygments.lexers import get_lexer_for_filename
    from pygments.lexers.special import TextLexer
    from pygments.util import ClassNotFound

    try:
        return get_lexer_for_filename(name)
    except ClassNotFound:
        return TextLexer()


def _lexer(path: str) -> Any:
    """By the ending, which many files share; records without a path are taken for Python."""
    name = path.rpartition("/")[2]
    _, dot, ending = name.rpartition(".")
    return _lexer_of(f"x.{ending}" if dot and "#" not in ending else "x.py" if "#" in name else name)


def _units(tokens: Sequence[Sequence[tuple[int, str]]]) -> Units:
    texts: list[bytes] = []
    numbers: list[int] = []
    starts = [0]
    for of_file in tokens:
        for line, text in of_file:
            stripped = text.strip()
            if stripped:
                texts.append(stripped.encode())
                numbers.append(line + text[: len(text) - len(text.lstrip())].count("\n"))
        starts.append(len(texts))
    buffer, begins = join(texts)
    # One byte stands between two of them.
    return Units(buffer, begins[:-1], begins[1:] - 1, np.array(numbers, dtype=np.int32), np.array(starts))
