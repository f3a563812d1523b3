"""Logs with a JSON object on each line, written by processes that may be killed while they write."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysim.core.errors import os_errors


def append_json_line(path: Path, row: Mapping[str, Any]) -> None:
    """Appends `row` as one line."""
    with os_errors(path, begun=True), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def end_torn_line(path: Path) -> None:
    """Ends a last line that a crash tore, so that what is appended next has a line of its own."""
    if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log; one that a crash tore, at the end or earlier, counts as never written."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
