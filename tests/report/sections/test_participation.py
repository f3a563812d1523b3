"""What the report says of organizations that missed rounds."""

from typing import Any

import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.run_page import write_run_page
from raysim.report.sections.participation import section
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run

# By round: what meta did, whether the server aggregated it, and its seconds; microsoft takes part in all.
META = [("", True, 5.0), ("dropped out", False, 6.0), ("late", False, 70.0), ("not selected", False, None)]


def rows(strategy: str, waits: bool = False) -> list[dict[str, Any]]:
    found = []
    for number, (reason, took_part, seconds) in enumerate(META, start=1):
        selected = reason != "not selected"
        shared = {
            **{"seed": 1, "strategy": strategy, "order": "meta + microsoft", "round": number},
            **{"round_attempts": 1 + (number == 3), "round_seconds": 60.0 * number},
        }
        meta = {"organization": "meta", "selected": selected, "reason": reason, "attempts": int(selected)}
        meta |= {"took_part": selected and (took_part or waits), "simulated_seconds": seconds}
        other = {"organization": "microsoft", "selected": True, "reason": "", "attempts": 1, "took_part": True}
        found += [shared | meta, shared | other | {"simulated_seconds": 4.0}]
    return found


def test_rounds_that_organizations_missed(build_run) -> None:
    folder = build_run()
    untimed = [{**row, "round_seconds": None, "simulated_seconds": None} for row in rows("plain")]
    table = [*rows("fedavg"), *rows("fedyogi", waits=True), *untimed]
    write_table(folder, "participation", pa.Table.from_pylist(table, schema("participation")))
    found = section(RunResults(open_run(folder)))
    assert found is not None
    settings, organizations = found.tables
    # 60 + 120 + 180 + 240 s; round 3 was begun twice.
    assert settings.rows == [("fedavg", 7, "5 (71%)", 1, 1, 1, "600.0"), ("fedyogi", 7, "7 (100%)", 1, 1, 1, "600.0")]
    assert organizations.rows == [
        ("fedavg: meta + microsoft", 1, "meta", "1 of 3", "2", "3", "6.0"),
        ("fedavg: meta + microsoft", 1, "microsoft", "4 of 4", "–", "–", "4.0"),
        ("fedyogi: meta + microsoft", 1, "meta", "3 of 3", "(2)", "(3)", "6.0"),
        ("fedyogi: meta + microsoft", 1, "microsoft", "4 of 4", "–", "–", "4.0"),
    ]
    page = write_run_page(folder).read_text("utf-8")
    assert "Who took part" in page
    assert "5 (71%)" in page


def test_nothing_is_said_where_nobody_may_be_missing(build_run, run) -> None:
    assert section(RunResults(open_run(run))) is None
