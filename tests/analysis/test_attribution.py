"""Prompts of one, lines of another: against a loop over the rows of the tables, and by hand."""

import pyarrow as pa
import pytest

from raysim.analysis.attribution import origins, owned_lines
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.report.run_page import write_run_page
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(run) -> RunResults:
    return RunResults(open_run(run))


def looped(results: RunResults, model: str) -> list[list[float]]:
    prompts = {row["prompt"]: row for row in results.run.table("prompts").to_pylist() if row["kind"] != "held_out"}
    samples = [row for row in results.run.table("samples").to_pylist() if row["model"] == model]
    matrix = []
    for name in results.organizations:
        mine = {prompt for prompt, row in prompts.items() if row["organization"] == name}
        matrix.append(
            [
                sum(r["exclusive"] + r["shared"] for r in samples if r["owner"] == owner and r["prompt"] in mine)
                / len(mine)
                for owner in results.organizations
            ]
        )
    return matrix


def test_equals_a_loop_over_the_rows(results: RunResults) -> None:
    for point in finals(results.reached_models)[::3]:
        found = owned_lines(results, point.model)
        assert found is not None
        assert found.tolist() == [pytest.approx(line) for line in looped(results, point.model)]


def test_a_model_that_was_not_probed(results: RunResults) -> None:
    assert owned_lines(results, "unknown") is None


def test_shares_sum_to_one_and_own_is_on_the_diagonal(results: RunResults) -> None:
    table = origins(results)
    assert [row.label for row, _ in table] == [row.label for row in results.final_rows()]
    for _, lines in table:
        for line in lines:
            assert sum(line["shares"]) == pytest.approx(1)
            assert line["own"] == line["shares"][results.organizations.index(line["prompts_of"])]


def test_by_hand(build_run) -> None:
    """A prompt of meta draws out 6 lines of its own, 2 of google and 9 public ones; one of google 4 public ones."""
    folder = build_run(prompts=4, samples=1)
    results = RunResults(open_run(folder))
    model = next(p.model for p in finals(results.reached_models) if p.strategy == "centralized")
    prompts = {
        r["organization"]: r["prompt"] for r in results.run.table("prompts").to_pylist() if r["kind"] == "prefix"
    }
    counts = {("meta", "meta"): (6, 0, 9), ("meta", "google"): (0, 2, 0), ("google", "meta"): (0, 0, 4)}
    rows = [
        {
            "model": model, "prompt": prompts[of], "sample": 0, "owner": owner, "lines": 20,
            "covered": sum(counts.get((of, owner), (0, 0, 0))),
            **dict(zip(("exclusive", "shared", "public"), counts.get((of, owner), (0, 0, 0)), strict=True)),
        }
        for of in prompts
        for owner in results.organizations
    ]  # fmt: skip
    write_table(folder, "samples", pa.Table.from_pylist(rows, schema("samples")))
    ((row, lines),) = origins(RunResults(open_run(folder)))
    assert lines == [{"prompts_of": "meta", "lines": 8.0, "own": 0.75, "shares": [0.75, 0.0, 0.25]}]
    assert row.mean("intra") == 0.75
    assert "<small>intra: 75.0 %</small>" in write_run_page(folder).read_text(encoding="utf-8")


def test_intra_is_the_diagonal(results: RunResults) -> None:
    """Of the lines that organizations own, as the table counts them; each organization has as many prompts here."""
    for point in finals(results.reached_models)[::3]:
        matrix = looped(results, point.model)
        own = sum(line[number] for number, line in enumerate(matrix))
        assert results.measures(point.model)["intra", ""] == pytest.approx(own / sum(map(sum, matrix)))
