"""Significant lines: the unit of every statement about memorization and clones."""


def significant_lines(text: str) -> tuple[list[str], list[int]]:
    """The stripped, non-empty lines of `text`, split on ``\\n`` alone, and their line numbers from 1.

    White space is what `str.strip` removes, so a lone carriage return or form feed inside a line does not split it.
    """
    lines: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped:
            lines.append(stripped)
            numbers.append(number)
    return lines, numbers
