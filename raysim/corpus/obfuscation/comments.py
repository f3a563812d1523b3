"""Leaves comments out, but for those that tools or lawyers read."""

import re
import tokenize
from collections.abc import Iterator

from raysim.corpus.licence_headers import notice_lines
from raysim.corpus.obfuscation.python_text import Edit, PythonText, Token

_PRAGMA = re.compile(
    r"#\s*(?:type:|noqa\b|nosec\b|nosemgrep\b|pragma:|pylint:|mypy:|pyright:|pyre-|flake8:|ruff:|isort:|fmt:|yapf:|black:"
    r"|autopep8:|cython:|distutils:|coverage:|doctest:|cspell:|-\*-|vim?:|lint:|codespell:|spdx-|%%)",
    re.IGNORECASE,
)
_ENCODING = re.compile(r"#.*?coding[:=][ \t]*[-\w.]+")
"""PEP 263, in one of the first two lines."""


def drop_comments(code: PythonText) -> tuple[list[Edit], int]:
    """Leaves comments out, and lines that hold nothing else.

    Kept are what tools read (``# noqa``, ``# type:``, an encoding, ``#!``) and licence and copyright notices: blocks of
    whole lines with words that such notices have.

    Returns:
        the edits, and how many blocks are kept as notices.
    """
    edits, notices = list[Edit](), 0
    for block in _blocks(code):
        if all(notice_lines([token.text for token in block])):
            notices += 1
        else:
            edits += [_edit(code, token) for token in block if not _is_read(token)]
    return edits, notices


def _blocks(code: PythonText) -> Iterator[list[Token]]:
    """Comments on whole lines side by side, and each of the others alone."""
    block = list[Token]()
    for token in code.tokens:
        if token.kind != tokenize.COMMENT:
            continue
        if block and not (_is_whole(code, token) and _is_whole(code, block[-1]) and token.line == block[-1].line + 1):
            yield block
            block = []
        block.append(token)
    if block:
        yield block


def _is_whole(code: PythonText, token: Token) -> bool:
    """Whether a comment has its line to itself."""
    return not code.text[code.line_starts[token.line] : token.start].strip()


def _is_read(token: Token) -> bool:
    return bool(
        _PRAGMA.match(token.text)
        or (token.line < 2 and _ENCODING.match(token.text))
        or (token.line == 0 and token.text.startswith("#!"))
    )


def _edit(code: PythonText, token: Token) -> Edit:
    """Takes the line with it where nothing else is on it, and else the white space before it."""
    start = code.line_starts[token.line]
    if _is_whole(code, token):
        return Edit(start, min(token.end + 1, len(code.text)), "")
    before = code.text[start : token.start]
    return Edit(start + len(before.rstrip()), token.end, "")
