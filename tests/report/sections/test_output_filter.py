from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.output_filter import section
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


def test_blocks_are_shown_by_owner_and_for_all_together(build_run: Callable[..., Path]) -> None:
    """Two kinds of prompts are added up, and seeds are averaged."""
    folder = build_run(seeds=(1, 2), perplexity=False)
    rows: list[dict[str, Any]] = []
    for model in read_table(folder, "models").to_pylist():
        if model["final"] and model["model"] not in {row["model"] for row in rows}:
            for kind in ("function", "prefix"):
                own = {"model": model["model"], "kind": kind, "samples": 10, "tokens": 90, "false_blocks": 1}
                rows.append(own | {"owner": "", "stopped": 2 * model["seed"], "blocks": 6, "lost_tokens": 10})
                rows.append(own | {"owner": "meta", "stopped": 1, "blocks": 3, "lost_tokens": 0})
    write_table(folder, "filter_blocks", pa.Table.from_pylist(rows, schema("filter_blocks")))
    found = section(RunResults(open_run(folder)))
    assert found is not None
    (table,) = found.tables
    shown = [row for row in table.rows if row[0] == "centralized"]
    assert shown == [
        ("centralized", "all together", "30.0%", "0.60", "4 of 24", "10.0%"),
        ("centralized", "meta", "10.0%", "0.30", "4 of 12", "0.0%"),
    ]


def test_without_a_filter_nothing_is_said(run: Path) -> None:
    assert section(RunResults(open_run(run))) is None
