"""A text of Python with its syntax tree, its tokens and where both lie in the text."""

import ast
import io
import symtable
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from raysim.corpus.text_spans import TextSpan, replaced

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)
"""What reading a text raises that is no Python of the running version, or is nested too deep for it."""


REFLECTIVE = {"locals", "vars", "eval", "exec", "dir", "globals"}
"""What looks at variables by their names."""


class Edit(NamedTuple):
    """Characters of a text and what comes in their place.

    Attributes:
        start: first character, from 0.
        end: behind the last one.
        text: the new characters.
    """

    start: int
    end: int
    text: str


class Token(NamedTuple):
    """A token of Python.

    Attributes:
        kind: its type, a constant of `token`.
        text: its characters.
        line: on which it begins, from 0.
        start: its first character in the text, from 0.
        end: behind its last one.
    """

    kind: int
    text: str
    line: int
    start: int
    end: int


class PythonText:
    """A text whose lines end with ``\\n`` alone; what is read of it is read when it is asked for.

    All properties raise one of `UNREADABLE` where it is no Python.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        """Without their ends."""
        return self.text.split("\n")

    @cached_property
    def line_starts(self) -> list[int]:
        """Where each of `lines` begins in the text."""
        starts, at = list[int](), 0
        for line in self.lines:
            starts.append(at)
            at += len(line) + 1
        return starts

    @cached_property
    def tree(self) -> ast.Module:
        """The module, without what the compiler warns of."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(self.text)

    @cached_property
    def scopes(self) -> symtable.SymbolTable:
        """The compiler's own table of scopes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return symtable.symtable(self.text, "<file>", "exec")

    @cached_property
    def tokens(self) -> list[Token]:
        """All tokens but those inside f-strings, which are one token here whatever the version of Python."""
        found, starts, length = list[Token](), [*self.line_starts, len(self.text)], len(self.text)
        depth, begin = 0, (0, 0)
        for kind, text, (row, column), (end_row, end_column), _ in tokenize.generate_tokens(
            io.StringIO(self.text).readline
        ):
            start, end = min(starts[row - 1] + column, length), min(starts[end_row - 1] + end_column, length)
            if kind == _FSTRING_START:
                begin = begin if depth else (row - 1, start)
                depth += 1
            elif kind == _FSTRING_END:
                depth -= 1
                if not depth:
                    found.append(Token(tokenize.STRING, self.text[begin[1] : end], *begin, end))
            elif not depth:
                found.append(Token(kind, text, row - 1, start, end))
        return found

    def span(self, node: ast.expr | ast.stmt | ast.arg | ast.excepthandler) -> tuple[int, int]:
        """The characters of a node, whose columns count bytes of UTF-8: half-open."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._byte_at(node.lineno, node.col_offset), self._byte_at(node.end_lineno, node.end_col_offset)

    def _byte_at(self, row: int, column: int) -> int:
        line = self.lines[row - 1]
        if not line.isascii():
            column = len(line.encode()[:column].decode())
        return self.line_starts[row - 1] + column


_FSTRING_START: int = getattr(tokenize, "FSTRING_START", -1)
_FSTRING_END: int = getattr(tokenize, "FSTRING_END", -1)
"""Tokens of Python 3.12; before, an f-string is one token."""


def edited(text: str, edits: Iterable[Edit]) -> str:
    """`text` with all edits made, which do not overlap, in any order."""
    return replaced(text, ((TextSpan(start, end, ""), other) for start, end, other in sorted(edits)))


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions that ``def`` makes, those inside others too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
