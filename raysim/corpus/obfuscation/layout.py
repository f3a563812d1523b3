"""Lays code out differently, to the same syntax tree: quotes, spaces, indentation, parentheses, blank lines.

What a file does most of the time is told first, and the other way is chosen; where there are several, one is drawn.
"""

import ast
import keyword
import re
import tokenize
from collections import Counter
from collections.abc import Iterator

import numpy as np

from raysim.corpus.obfuscation.python_text import Edit, PythonText, Token

_OPERATORS = "= == != < > <= >= := += -= *= /= //= %= **= &= |= ^= <<= >>= @= | & ^ << >> ->"
_SPACED = frozenset(_OPERATORS.split())
"""Operators that have two sides wherever they are, so that spaces around them mean nothing."""

_INDENTATIONS = ("  ", "   ", "    ", "        ", "\t")
_PLAIN_STRING = re.compile(r"""([rbu]{0,2})(['"])([^'"\\\n]*)\2""", re.IGNORECASE)


def reformat(code: PythonText, generator: np.random.Generator) -> list[Edit]:
    """Another layout of a file."""
    return [
        *_quotes(code.tokens),
        *_spaces(code, generator),
        *_indentation(code, generator),
        *_parentheses(code, generator),
        *_blank_lines(code, generator),
    ]


def _quotes(tokens: list[Token]) -> Iterator[Edit]:
    """The other quotes around texts that have neither in them."""
    plain = [
        (token, found)
        for token in tokens
        if token.kind == tokenize.STRING and (found := _PLAIN_STRING.fullmatch(token.text))
    ]
    counts = Counter(found[2] for _, found in plain)
    other = "'" if counts['"'] > counts["'"] else '"'
    for token, found in plain:
        if found[2] != other:
            yield Edit(token.start, token.end, f"{found[1]}{other}{found[3]}{other}")


def _spaces(code: PythonText, generator: np.random.Generator) -> Iterator[Edit]:
    """Spaces around operators where a file has none, or none where it has some; behind commas by chance."""
    gaps = [
        (left, right)
        for left, right in zip(code.tokens, code.tokens[1:], strict=False)
        if left.line == right.line and not code.text[left.end : right.start].strip(" ")
    ]
    operators = [pair for pair in gaps if _is_movable(*pair)]
    wide = sum(left.end < right.start for left, right in operators)
    between = "" if 2 * wide > len(operators) else " "
    behind_comma = "" if generator.random() < 0.5 else " "
    for left, right in gaps:
        if _is_movable(left, right):
            wanted = between
        elif left.text == "," and right.kind != tokenize.COMMENT and right.text not in ")]}":
            wanted = behind_comma
        else:
            continue
        if code.text[left.end : right.start] != wanted and right.text.strip():
            yield Edit(left.end, right.start, wanted)


def _is_movable(left: Token, right: Token) -> bool:
    """Whether one of two neighbours is an operator with two sides, and the other no word of Python and no operator."""
    for operator, other in ((left, right), (right, left)):
        if operator.kind == tokenize.OP and operator.text in _SPACED:
            return (
                other.kind in (tokenize.NAME, tokenize.NUMBER, tokenize.STRING) and not keyword.iskeyword(other.text)
            ) or other.text in ("(", ")", "[", "]", "{", "}")
    return False


def _indentation(code: PythonText, generator: np.random.Generator) -> Iterator[Edit]:
    """Another width of each level; lines inside brackets and texts stay as they are."""
    levels = [token.text for token in code.tokens if token.kind == tokenize.INDENT]
    if not levels:
        return
    others = [one for one in _INDENTATIONS if one != min(levels, key=len)]
    unit = others[int(generator.integers(len(others)))]
    stack, deepest, comments, begins = [""], [""], list[Token](), True
    for token in code.tokens:
        if token.kind == tokenize.INDENT:
            stack.append(token.text)
        elif token.kind == tokenize.NEWLINE:
            begins, deepest = True, [*stack]
        elif begins and token.kind == tokenize.COMMENT:
            comments.append(token)  # before it is known how deep what follows is
        elif token.kind == tokenize.DEDENT:
            stack.pop()
        elif begins and token.kind != tokenize.NL:
            yield from _indented(code, [*comments, token], max(stack, deepest, key=len), unit)
            comments, begins = [], False


def _indented(code: PythonText, tokens: list[Token], stack: list[str], unit: str) -> Iterator[Edit]:
    """Indents those that begin their lines, if they are at one of the levels of `stack`."""
    for token in tokens:
        start = code.line_starts[min(token.line, len(code.lines) - 1)]
        if (before := code.text[start : token.start]) in stack:
            yield Edit(start, token.start, unit * stack.index(before))


def _parentheses(code: PythonText, generator: np.random.Generator) -> Iterator[Edit]:
    """Parentheses around what is returned, and around conditions, each by chance for the whole file."""
    returns, conditions = generator.random(2) < 0.5
    for node in ast.walk(code.tree):
        value: ast.expr | None = None
        if isinstance(node, ast.Return) and returns:
            value = node.value
        elif isinstance(node, ast.If | ast.While) and conditions:
            value = node.test
        if value is not None:
            start, end = code.span(value)
            if "(" not in code.text[max(0, start - 1) : start + 1]:
                yield Edit(start, start, "(")
                yield Edit(end, end, ")")


def _blank_lines(code: PythonText, generator: np.random.Generator) -> Iterator[Edit]:
    """No blank lines, or one at most, in a row; those inside texts stay."""
    most = int(generator.integers(2))
    row, last = 0, -1
    for token in code.tokens:
        if token.kind == tokenize.NL and not code.lines[token.line].strip():
            row = row + 1 if token.line == last + 1 else 1
            last = token.line
            if row > most:
                start = code.line_starts[token.line]
                yield Edit(start, min(start + len(code.lines[token.line]) + 1, len(code.text)), "")
