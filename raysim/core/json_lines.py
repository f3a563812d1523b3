"""Logs with a JSON object on each line, written by processes that may be killed while they write."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysim.core.errors import os_errors
from raysim.core.json_text import parse_json


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
    return _rows(path.read_bytes()) if path.is_file() else []


class GrowingLog:
    """A log that somebody else writes meanwhile, of which each look reads what is new.

    One that has become another file, or a shorter one, is read anew. A line counts once its end is there.

    Args:
        path: of the log, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._file = 0
        self._read = 0

    def rows(self) -> list[dict[str, Any]]:
        """All whole lines up to now."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._file or found.st_size < self._read:
                self._rows, self._file, self._read = [], found.st_ino, 0
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        self._rows += _rows(whole)
        return self._rows


def _rows(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for line in content.split(b"\n"):
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
