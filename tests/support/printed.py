"""What a view shows, as text of a wide terminal without colours."""

import io

from rich.console import Console, RenderableType


def printed(view: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=300, highlight=False).print(view)
    return out.getvalue()


def rows(text: str) -> list[list[str]]:
    """Cells of all lines of tables between their borders."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]
