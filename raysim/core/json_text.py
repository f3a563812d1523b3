"""Reads JSON that somebody else may have written: no depth of it exhausts the stack, here or where it is used."""

import json
from typing import Any

_DEEPEST = 100
"""Levels; Python's stack has room for several times as many."""


def parse_json(text: str | bytes) -> Any:
    """Parses one JSON value.

    Raises:
        ValueError: it is none, or nested more than `_DEEPEST` levels deep.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested more than {_DEEPEST} levels deep") from None
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [found for found in level if isinstance(found, dict | list)]
        if not level:
            return value
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    raise ValueError(f"nested more than {_DEEPEST} levels deep")
