import io
import re

import pyarrow as pa
import pytest
from rich.console import Console

from raysim.analysis.findings import write_findings
from raysim.report.terminal import summary_table, sweep_summary
from raysim.tables.io import schema, write_table


def printed(folder):
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(summary_table(folder))
    return out.getvalue()


def test_the_scoreboard_and_the_owners_fit_into_100_columns(run):
    text = printed(run)
    tables = [line for line in text.splitlines() if not line.startswith("Report:")]
    assert max(map(len, tables)) <= 100
    assert "incremental: meta > google > microsoft" in text
    assert "single: microsoft" in text


def test_the_path_of_the_report_is_in_one_piece(build_run):
    folder = build_run(prompts=1)
    (folder / "report.html").write_text("")
    assert f"Report: {folder / 'report.html'}\n" in printed(folder)


def test_a_report_that_is_not_written_is_said_to_be_so(build_run):
    assert "not written yet" in printed(build_run(prompts=1))


def test_names_are_no_markup(build_run):
    assert "[red]org" in printed(build_run(organizations=("[red]org", "b"), prompts=1))


@pytest.mark.parametrize("settings", [{"memorization": False}, {"memorization": False, "perplexity": False}])
def test_what_was_not_measured_is_said(build_run, settings):
    assert "Memorization was not measured" in printed(build_run(**settings))


def test_the_summary_fits_into_100_columns(sweep_folder):
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(sweep_summary(sweep_folder))
    lines = [line for line in out.getvalue().splitlines() if not line.startswith("Report:")]
    assert max(map(len, lines)) <= 100
    assert any(re.match(r"0\.001 +any +single: meta", line) for line in lines)


def test_findings_have_what_could_overturn_them(build_run):
    folder = build_run(prompts=4, files=2)
    assert "could overturn it" not in printed(folder)  # before the report is written there are none
    write_findings(folder)
    text = printed(folder)
    assert re.search(r"F2 inconclusive: [+−]0\.\d+ nats, no interval; 1 seed", text)
    assert "could overturn it: fedavg was run at one setting" in text
    assert "F1 " not in text


def test_validation_code_that_is_trained_on_is_said(build_run):
    folder = build_run(memorization=False, files=2)
    row = {"split": "valid", "lines": 10, "own": 0, "others": 5, "trained": 5, "public": 0}
    rows = [{"organization": name, "file": "a.py", **row} for name in ("meta",)]
    write_table(folder, "held_out_copies", pa.Table.from_pylist(rows, schema("held_out_copies")))
    assert "50% of the validation lines of meta stand in others' training splits" in printed(folder)
