"""What clients sent in the last round that was probed: the server's view of each."""

from collections.abc import Mapping
from typing import Any

from raysim.tables.results import Results

Upload = Mapping[str, Any]
"""A row of the table `uploads`."""


def last_uploads(run: Results) -> dict[tuple[str, str, str], list[Upload]]:
    """The uploads of the last round that was probed, by strategy, order and organization; one a seed."""
    groups: dict[tuple[str, str, str], list[Upload]] = {}
    for row in run.table("uploads").to_pylist():
        groups.setdefault((row["strategy"], row["order"], row["organization"]), []).append(row)
    return {place: [row for row in rows if row["round"] == _last(rows)] for place, rows in groups.items()}


def _last(uploads: list[Upload]) -> int:
    return max(row["round"] for row in uploads)
