"""What lexers make of a file: how long its tokens are, and of which kind. The lexers are those of Pygments.

The tokens of a file cover it without a gap, so the bytes of each are found in the file itself and are not held.

Lexers take microseconds a token, and some expressions of theirs time that grows with the square of a line. So a file
with a line that nobody typed, such as a table of numbers, has words and signs for tokens: each run of letters, digits,
underscores and what is beyond ASCII, each run of white space, and every other byte.
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

_TYPED_BYTES = 1 << 16
"""Of the longest line that is left to a lexer."""

_SIGN, _WORD, _SPACE, _DIGIT = range(4)
_CLASSES = np.full(256, _SIGN, dtype=np.uint8)
"""Of bytes; those beyond ASCII are parts of letters."""
_CLASSES[[*b"_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", *range(128, 256)]] = _WORD
_CLASSES[[*b" \t\n\v\f\r"]] = _SPACE
_CLASSES[[*b"0123456789"]] = _DIGIT
_KIND_OF_CLASS = np.array([OTHER, NAME, OTHER, LITERAL], dtype=np.uint32)


def lexer_name(path: str) -> str:
    """What chooses the lexer of a file: its ending, else its name; records without a path are taken for Python."""
    name = path.rpartition("/")[2]
    _, dot, ending = name.rpartition(".")
    return f"x.{ending}" if dot and "#" not in ending else "x.py" if "#" in name else name


def lex(name: str, content: bytes) -> Tokens:
    """The tokens of a file in UTF-8, given its `lexer_name`."""
    if _has_long_line(content):
        return _words_and_signs(content)
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


def _has_long_line(content: bytes) -> bool:
    """Whether a line is longer than anybody types."""
    begin = 0
    while len(content) - begin > _TYPED_BYTES:
        # The last line feed that the longest line may end with: what is before it was no longer line.
        end = content.rfind(b"\n", begin, begin + _TYPED_BYTES + 1)
        if end < 0:
            return True
        begin = end + 1
    return False


def _words_and_signs(content: bytes) -> Tokens:
    classes = _CLASSES[np.frombuffer(content, dtype=np.uint8)]
    runs = np.where(classes == _DIGIT, _WORD, classes)
    begins = np.flatnonzero(np.append(True, (runs[1:] != runs[:-1]) | (runs[1:] == _SIGN)))
    lengths = np.diff(begins, append=len(content)).astype(np.uint32)
    return lengths * np.uint32(KINDS) + _KIND_OF_CLASS[classes[begins]]


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
