"""The estimator of pass@k against exact fractions and brute force, its table, and what the page says of solutions."""

import itertools
import json
from fractions import Fraction
from math import comb

import numpy as np
import pyarrow as pa
import pytest

from raysim.analysis.pass_at_k import pass_at_k, pass_at_k_table
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.report.run_page import write_run_page
from raysim.report.sections.pass_at_k import solving
from raysim.report.terminal import summary_table
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


@pytest.mark.parametrize("samples", [1, 2, 5, 20, 200])
def test_against_exact_fractions(samples):
    for passed in range(samples + 1):
        for k in {1, 2, 3, samples // 2, samples} & set(range(1, samples + 1)):
            exact = 1 - Fraction(comb(samples - passed, k), comb(samples, k))
            assert pass_at_k(samples, passed, k) == pytest.approx(float(exact), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("samples", range(1, 8))
def test_against_every_subset(samples):
    for passed, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        draws = list(itertools.combinations([i < passed for i in range(samples)], k))
        assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_it_does_not_overflow():
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)


@pytest.mark.parametrize(("samples", "passed", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 6), (5, 1, 0)])
def test_more_than_there_is(samples, passed, k):
    with pytest.raises(ValueError, match="cannot have passed"):
        pass_at_k(samples, passed, k)


def execution(model, problem, **counts):
    outcomes = dict.fromkeys(("passed", "wrong", "error", "timeout", "memory", "ended", "too_long"), 0) | counts
    row = {"model": model, "problem": problem, "samples": sum(outcomes.values()), **outcomes}
    return {**row, "walls": "namespaces" if row["samples"] > row["too_long"] else ""}


@pytest.fixture
def solved(build_run):
    """A run whose final models solve three problems: one always, one at one of four tries, one never."""
    folder = build_run()
    models = sorted({point.model for point in finals(RunResults(open_run(folder)).reached_models)})
    rows = [
        row
        for model in models
        for row in (
            execution(model, "P/0", passed=4),
            execution(model, "P/1", passed=1, wrong=2, timeout=1),
            execution(model, "P/2", too_long=4),
        )
    ]
    patterns = [
        {"model": m, "rule": rule, "about": about, "samples": 2, "findings": 3}
        for m in models
        for rule, about in (("S307", "suspicious eval usage"), ("invalid-syntax", "does not parse"))
    ]
    licences = [
        {"model": m, "organization": o, "licence": "GPL-3.0", "allowed": a, "samples": 1, "lines": 7, "files": 2}
        for m in models
        for o, a in (("meta", False), ("google", None))
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiment"]["measure"]["pass_at_k"] = {"k": [1, 2]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name, found in {"executions": rows, "patterns": patterns, "licences": licences}.items():
        write_table(folder, name, pa.Table.from_pylist(found, schema(name)))
    return folder


def test_the_table_is_a_mean_over_problems_with_an_interval(solved):
    rows = pass_at_k_table(open_run(solved)).to_pylist()
    assert len({row["model"] for row in rows}) * 2 == len(rows)
    first, second = rows[:2]
    assert (first["k"], second["k"]) == (1, 2)
    assert first["value"] == pytest.approx((1 + 1 / 4 + 0) / 3)
    assert second["value"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert (first["problems"], first["samples"]) == (3, 4)
    # All 27 ways to draw three of the three problems are equally likely.
    means = [sum(draw) / 3 for draw in itertools.product((1, 1 / 4, 0), repeat=3)]
    ends = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert (first["low"], first["high"]) == pytest.approx(tuple(ends))


def test_problems_that_are_alike_have_no_interval(solved):
    table = read_table(solved, "executions")
    same = table.filter(pa.array([name == "P/0" for name in table["problem"].to_pylist()]))
    write_table(solved, "executions", same)
    rows = pass_at_k_table(open_run(solved)).to_pylist()
    assert {(row["value"], row["low"], row["high"]) for row in rows} == {(1.0, None, None)}
    found = solving(RunResults(open_run(solved)), rows)
    assert found
    assert found.rows[0][1][0].spread == "no interval"


def test_a_run_without_solutions_has_neither_table_nor_section(run):
    results = RunResults(open_run(run))
    assert not pass_at_k_table(results.run).num_rows
    assert solving(results, []) is None


def test_the_page_says_what_was_measured(solved):
    write_run_page(solved)
    results = RunResults(open_run(solved))
    rates = read_table(solved, "pass_at_k").to_pylist()
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
    page = (solved / "report.html").read_text()
    for text in ("Solving problems", "suspicious eval usage", "GPL-3.0", "not agreed on", "limits and: namespaces"):
        assert text in page


def test_pass_at_1_stands_on_the_scoreboard_and_in_the_terminal(solved, capsys):
    from rich.console import Console

    results = RunResults(open_run(solved))
    assert all(row.mean("passes") == pytest.approx(5 / 12) for row in results.final_rows())
    Console(width=100).print(summary_table(solved))
    said = capsys.readouterr().out
    assert "pass@1" in said
    assert "41.7 %" in said
