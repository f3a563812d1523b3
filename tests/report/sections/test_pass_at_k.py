"""What the page says of solutions."""

import pytest
from measured_tables import solved

from raysim.analysis.pass_at_k import pass_at_k_table
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.report.run_page import write_run_page
from raysim.report.sections.pass_at_k import solving
from raysim.report.terminal import summary_table
from raysim.tables.io import read_table
from raysim.tables.results import open_run


@pytest.fixture
def folder(build_run):
    return solved(build_run())


def test_a_run_without_solutions_has_neither_table_nor_section(run):
    results = RunResults(open_run(run))
    assert not pass_at_k_table(results.run).num_rows
    assert solving(results, []) is None


def test_the_page_says_what_was_measured(folder):
    write_run_page(folder)
    results = RunResults(open_run(folder))
    rates = read_table(folder, "pass_at_k").to_pylist()
    found = solving(results, rates)
    assert found
    assert (found.problems, found.samples, found.walls) == (3, 4, ["namespaces"])
    assert [name for name, _ in found.columns] == ["pass@1", "pass@2", "Wrong", "Timeout", "Too long"]
    cells = [cell.text for cell in found.rows[0][1]]
    assert cells == ["0.417", "0.500", "16.7 %", "8.3 %", "33.3 %"]
    models = len({point.model for point in finals(results.reached_models)})
    assert found.patterns == [("S307", "suspicious eval usage", 2 * models)]
    assert found.linted == models * (12 - 4 - 2)
    assert [(r["organization"], r["allowed"], r["lines"], r["files"]) for r in found.licences] == [
        ("google", None, 7 * models, 2),
        ("meta", False, 7 * models, 2),
    ]
    page = (folder / "report.html").read_text()
    for text in ("Solving problems", "suspicious eval usage", "GPL-3.0", "not agreed on", "limits and: namespaces"):
        assert text in page


def test_pass_at_1_stands_on_the_scoreboard_and_in_the_terminal(folder, capsys):
    from rich.console import Console

    results = RunResults(open_run(folder))
    assert all(row.mean("passes") == pytest.approx(5 / 12) for row in results.final_rows())
    Console(width=100).print(summary_table(folder))
    said = capsys.readouterr().out
    assert "pass@1" in said
    assert "41.7 %" in said
