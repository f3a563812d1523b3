"""The functions of a file that prompts are made of: those with a docstring, or a comment that documents them."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from raysim.corpus.files import SourceFile
from raysim.corpus.languages import language_of
from raysim.measures.memorization.documented_functions import documented_functions

# The line ends that Python's own tokenizer knows; str.splitlines would also split at form feeds and others.
_LINE_END = re.compile(r"\r\n|\r|\n")

_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
"""The fields of a node that hold statements, or what holds statements."""


@dataclass(frozen=True)
class Function:
    """A function with its documentation.

    Attributes:
        prompt: exact source from the start of its ``def`` line to the end of its docstring's last line; in other
            languages than Python from the start of its comment to the end of the line that opens its body.
        truth: the rest of its source.
        place: positions in the file's text where it begins, and behind its prompt and the function.
    """

    prompt: str
    truth: str
    place: tuple[int, int, int]


def functions_of(source: SourceFile) -> list[Function]:
    """Every function of a file that is documented as its language has it, in the order of the source.

    Raises:
        ValueError: a Python file that is no Python.
        InputError: the package that parses its language is not installed.
    """
    language = language_of(source.path)
    if language == "python":
        return functions_with_docstrings(source.text)
    return [function_at(source.text, *place) for place in documented_functions(source.text, language)]


def functions_with_docstrings(text: str) -> list[Function]:
    """Every function of a Python file that has a docstring, nested ones and methods too, in the order of the source.

    Raises:
        ValueError: the text is no Python (also for null bytes and for nesting too deep to parse).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful escapes in other people's code
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not Python: {error}") from None
    begins = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def begin(line: int) -> int:
        return begins[line - 1] if line <= len(begins) else len(text)

    found: list[tuple[int, int, int]] = []
    for node in _statements(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or ast.get_docstring(node, clean=False) is None:
            continue
        start, rest, end = (
            begin(node.lineno),
            begin((node.body[0].end_lineno or 0) + 1),
            begin((node.end_lineno or 0) + 1),
        )
        found.append((start, rest, end))
    return [function_at(text, *place) for place in sorted(found)]


def function_at(text: str, begin: int, rest: int, end: int) -> Function:
    """The function whose `place` in a file's text that is."""
    prompt = text[begin:rest]
    # Only at the end of a file without a final line end; the prompt asks for a new line all the same.
    prompt += "" if prompt.endswith(("\n", "\r")) else "\n"
    return Function(prompt, text[rest:end], (begin, rest, end))


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A node and all statements below it: no function lies in an expression, and these are most of a tree."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        for name in _BLOCKS:
            below = getattr(node, name, ())
            pending += below if isinstance(below, list) else ()
