"""Writes the examples into docs/extending.md, each below its heading: python docs/examples/fill.py"""

import re
from pathlib import Path

EXAMPLES = Path(__file__).parent
PAGE = EXAMPLES.parent / "extending.md"


def filled(page: str) -> str:
    """The page, with the block below each line ``From `examples/NAME`:`` replaced by that file."""

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}```python\n{(EXAMPLES / found[2]).read_text(encoding='utf-8')}```"

    return re.sub(r"(From `examples/([^`]+)`:\n)```python\n.*?^```", block, page, flags=re.M | re.S)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
