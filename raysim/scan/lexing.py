"""What lexers make of a file: how long its tokens are, and of which kind. The lexers are those of Pygments.

The tokens of a file cover it without a gap, so the bytes of each are found in the file itself and are not held.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.uint32]
"""``[num_tokens]``: the number of bytes of each, times `KINDS`, plus its kind."""

OTHER, COMMENT, NAME, STRING, LITERAL = range(5)
"""Kinds of tokens. Directives of a preprocessor are no comments, and strings no literals here."""

KINDS = 8


def lexer_name(path: str) -> str:
    """What chooses the lexer of a file: its ending, else its name; records without a path are taken for Python."""
    name = path.rpartition("/")[2]
    _, dot, ending = name.rpartition(".")
    return f"x.{ending}" if dot and "#" not in ending else "x.py" if "#" in name else name


def lex(name: str, content: bytes) -> Tokens:
    """The tokens of a file in UTF-8, given its `lexer_name`."""
    text, at = content.decode(), 0
    found: list[int] = []

    def add(end: int, kind: int) -> None:
        nonlocal at
        if end > at:
            found.append(len(text[at:end].encode()) * KINDS + kind)
            at = end

    for begin, kind, value in _lexer(name).get_tokens_unprocessed(text):
        add(begin, OTHER)  # some lexers leave text out
        add(min(begin + len(value), len(text)), _kind(kind))
    add(len(text), OTHER)
    return np.array(found, dtype=np.uint32)


@cache
def _kind(kind: Any) -> int:
    from pygments.token import Comment, Literal, Name, String

    if kind in Comment:
        return OTHER if kind in Comment.Preproc or kind in Comment.PreprocFile else COMMENT
    return STRING if kind in String else LITERAL if kind in Literal else NAME if kind in Name else OTHER


@cache
def _lexer(name: str) -> Any:
    from pygments.lexers import get_lexer_for_filename
    from pygments.lexers.special import TextLexer
    from pygments.util import ClassNotFound

    try:
        return get_lexer_for_filename(name)
    except ClassNotFound:
        return TextLexer()
