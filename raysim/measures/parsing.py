"""Whether generated Python parses: a weak, cheap sign of effectiveness, from the generations that are there anyway."""

import ast
import warnings
from typing import Literal


def parses(text: str) -> bool:
    """Whether `text`, dedented by the indentation of its first line and cut after its last whole line, is valid Python.

    The last line of a generation that ran into its length limit is rarely whole, so it does not count against it,
    unless it is the only one. Parsing says nothing about meaning.
    """
    lines = text.split("\n")
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip(" \t"))]
    dedented = [line[len(indent) :] if line.startswith(indent) else line for line in lines]
    whole = dedented[:-1] if len(dedented) > 1 else dedented
    return any(is_python("\n".join(candidate)) for candidate in (dedented, whole))


def is_python(text: str, mode: Literal["exec", "eval"] = "exec") -> bool:
    """Whether `text` as it is is a valid module, or (eval) expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<text>", mode, ast.PyCF_ONLY_AST)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
