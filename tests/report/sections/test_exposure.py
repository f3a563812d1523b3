"""What the page says of canaries, on rows made by hand."""

import pyarrow as pa
import pytest
from measured_tables import audited

from raysim.analysis.results import RunResults
from raysim.report.sections.exposure import exposure
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(build_run):
    return RunResults(open_run(audited(build_run())))


def test_exposures_are_averaged_by_setting_and_repeats(results):
    found = exposure(results)
    assert found is not None
    assert [name for name, _ in found.columns] == ["Never", "4 times", "Others'", "By chance"]
    cells = {label: [cell.text for cell in row] for label, row in found.rows}
    # Two secrets behind a column of one organization, six of three.
    assert cells["single: meta"] == ["1.5", "8.5", "1.0", "3.4"]
    assert cells["centralized"] == ["1.5", "8.5", "–", "2.5"]
    assert found.scale == "Ranked among all secrets that there are, it can be 10.0 at most."
    assert "has 1.4 bits on average by chance" in found.note
    assert found.note.endswith("of the 6 that stand nowhere none did, in one model or more.")
    assert "Extrapolated" not in found.note


def test_secrets_that_stand_nowhere_and_are_exposed_are_said(build_run):
    """One of two of an organization ranks first: 10 bits and 1, so 5.5 on average, above the 3.4 of chance."""
    folder = audited(build_run())
    rows = read_table(folder, "canaries").to_pylist()
    for row in rows:
        if (row["organization"], row["canary"]) == ("meta", "0x1"):
            row.update(rank=1, exposure=10.0)
    write_table(folder, "canaries", pa.Table.from_pylist(rows, schema("canaries")))
    found = exposure(RunResults(open_run(folder)))
    assert found is not None
    assert dict(found.rows)["single: meta"][0].text == "5.5"
    assert "of the 6 that stand nowhere 1 did, in one model or more." in found.note
    assert "Secrets that stand nowhere are above that in single: meta, centralized" in found.note


def test_extrapolated_exposures_are_called_so(build_run):
    found = exposure(RunResults(open_run(audited(build_run(), canaries=21.0))))
    assert found is not None
    assert dict(found.rows)["centralized"][1].spread == "extrapolated 21.0"
    assert "a sample of secrets" in found.scale
    assert "Extrapolated: an estimate" in found.note
