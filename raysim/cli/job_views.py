"""What `raysim jobs` prints for people."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table


def jobs_view(found: Sequence[Mapping[str, Any]]) -> Table:
    """A row a job, in the order of their start."""
    table = Table(title="Jobs", title_justify="left")
    for column in ("job", "status", "exit code", "submitted", "hours", "out"):
        table.add_column(column, justify="right" if column in ("exit code", "hours") else "left", overflow="fold")
    for job in found:
        began_s, ended_s = job["started_s"], job["ended_s"] or time.time()
        table.add_row(
            job["name"],
            job["status"].lower(),
            "" if job["exit_code"] is None else str(job["exit_code"]),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(began_s)) if began_s else "",
            f"{(ended_s - began_s) / 3600:.2f}" if began_s else "",
            job["about"].get("out", ""),
        )
    return table
