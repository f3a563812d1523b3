"""Significant lines: the unit of every statement about memorization and clones."""

from collections.abc import Iterable
from typing import Literal

from raysim.corpus.files import SourceFile

LineRules = Literal["exact", "simian"]
"""How lines are compared; ``simian``: as the clone detector of that name does, without case and curly braces."""

_BYTES_OF_LINE = 30
_SIMIAN_IGNORES = str.maketrans("", "", "{}")


def significant_lines(text: str, rules: LineRules = "exact") -> tuple[list[str], list[int]]:
    """The stripped, non-empty lines of `text`, split on ``\\n`` alone, and their line numbers from 1.

    White space is what `str.strip` removes, so a lone carriage return or form feed inside a line does not split it. By
    Simian's rules lines are in lower case and have no curly braces, and those that are nothing else are none.
    """
    if rules == "simian":
        text = text.lower().translate(_SIMIAN_IGNORES)
    lines: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped:
            lines.append(stripped)
            numbers.append(number)
    return lines, numbers


def expected_lines(files: Iterable[SourceFile]) -> int:
    """About how many significant lines `files` have, by their bytes."""
    return sum(source.num_bytes for source in files) // _BYTES_OF_LINE
