"""What the page says of baselines, on rows made by hand."""

import pyarrow as pa

from raysim.analysis.results import RunResults
from raysim.report.sections.baselines import section
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run

OWNERS = ("meta", "microsoft", "google")


def with_baselines(folder, own: float, together: float | None):
    found = [("uniform", "", 5.0), ("zlib", "", 90.0), ("5-gram", "own", own)]
    found += [] if together is None else [("5-gram", "together", together)]
    rows = [
        {"organization": owner, "split": "valid", "baseline": baseline, "data": data, "nats": 1.0}
        | {"tokens": 1, "bytes": 1, "bits_per_byte": bits}
        for owner in OWNERS
        for baseline, data, bits in found
    ]
    write_table(folder, "baselines", pa.Table.from_pylist(rows, schema("baselines")))
    return RunResults(open_run(folder))


def rows_of(results):
    found = section(results)
    assert found is not None
    (table,) = found.tables
    assert table.columns[0] == ""
    return {row[0]: row[1:] for row in table.rows}, found.note


def test_settings_are_held_against_what_saw_their_data(build_run):
    rows, note = rows_of(with_baselines(build_run(), own=0.0, together=80.0))
    assert list(rows)[:4] == [
        "uniform guess", "zlib, file by file", "5-gram, its own code", "5-gram, all organizations' code"
    ]  # fmt: skip
    assert rows["zlib, file by file"] == ("90.00",) * 3
    marked = {label: [cell.endswith("↓") for cell in cells] for label, cells in rows.items()}
    own = [name == "meta" for name in OWNERS]
    assert marked["single: meta"] == own, "n-grams of its own code are for its own files"
    assert not any(marked["centralized"]), "of all code: better than 80"
    assert "not all of them share data" not in note


def test_without_pooled_code_its_n_grams_are_said_to_be_missing(build_run):
    _, note = rows_of(with_baselines(build_run(), own=1.0, together=None))
    assert "left out: not all of them share data" in note


def test_without_baselines_there_is_no_section(build_run):
    assert section(RunResults(open_run(build_run()))) is None
