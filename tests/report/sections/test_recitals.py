"""What the page says of planted functions, on rows made by hand."""

import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.recitals import section
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


def planted(folder):
    """Nobody recites what is nowhere; models recite what is there 64 times of owners that they saw."""
    rows = []
    finals = [row for row in read_table(folder, "models").to_pylist() if row["final"]]
    for model in {row["model"]: row for row in finals}.values():
        for owner in ("meta", "microsoft", "google"):
            for repeats, number in ((0, 2), (64, 2)):
                for i in range(number):
                    lines = 11 if repeats and owner in model["organizations"] else 5
                    rows.append(
                        {"model": model["model"], "organization": owner, "function": f"{repeats}x{i}"}
                        | {"repeats": repeats, "lines": 11, "recited_lines": lines}
                        | {"tokens": 100, "recited_tokens": 9 * lines, "nats": 50.0}
                    )
    write_table(folder, "recitals", pa.Table.from_pylist(rows, schema("recitals")))
    return folder


def test_shares_and_slopes_by_setting_for_owners_that_a_model_saw_and_others(build_run):
    found = section(RunResults(open_run(planted(build_run()))))
    assert found is not None
    (table,) = found.tables
    assert table.columns == ("setting", "never", "64 times", "for each doubling")
    rows = {row[0]: row[1:] for row in table.rows}
    # Wilson at 0 of 6 and 6 of 6: 0.39 and 0.61. One over log2(65) a doubling, for too few functions for an interval.
    assert rows["single: meta"][:2] == ("0% of 2 (0% to 66%)", "100% of 2 (34% to 100%)")
    assert rows["single: meta"][2] == "+16.6%"
    assert rows["single: meta, of owners it never saw"][1].startswith("0% of 4")
    assert rows["centralized"][:2] == ("0% of 6 (0% to 39%)", "100% of 6 (61% to 100%)")
    assert rows["centralized"][2] == "+16.6% (+16.6% to +16.6%)"
    assert "centralized, of owners it never saw" not in rows


def test_without_planted_functions_there_is_no_section(build_run):
    assert section(RunResults(open_run(build_run()))) is None
