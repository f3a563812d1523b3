"""Prompts of one, lines of another: against a loop over the rows of the tables, and by hand."""

import pyarrow as pa
import pytest

from raysim.analysis.attribution import origins, owned_lines
from raysim.analysis.reached_models import finals
from raysim.analysis.results import Study
from raysim.report.run_page import write_report
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def study(run) -> Study:
    return Study(open_run(run))


def looped(study: Study, model: str) -> list[list[float]]:
    prompts = {row["prompt"]: row for row in study.run.table("prompts").to_pylist() if row["kind"] != "held_out"}
    samples = [row for row in study.run.table("samples").to_pylist() if row["model"] == model]
    matrix = []
    for name in study.organizations:
        mine = {prompt for prompt, row in prompts.items() if row["organization"] == name}
        matrix.append(
            [
                sum(r["exclusive"] + r["shared"] for r in samples if r["owner"] == owner and r["prompt"] in mine)
                / len(mine)
                for owner in study.organizations
            ]
        )
    return matrix


def test_equals_a_loop_over_the_rows(study: Study) -> None:
    for point in finals(study.points)[::3]:
        found = owned_lines(study, point.model)
        assert found is not None
        assert found.tolist() == [pytest.approx(line) for line in looped(study, point.model)]


def test_a_model_that_was_not_probed(study: Study) -> None:
    assert owned_lines(study, "unknown") is None


def test_shares_sum_to_one_and_own_is_on_the_diagonal(study: Study) -> None:
    table = origins(study)
    assert [row.label for row, _ in table] == [row.label for row in study.final_rows()]
    for _, lines in table:
        for line in lines:
            assert sum(line["shares"]) == pytest.approx(1)
            assert line["own"] == line["shares"][study.organizations.index(line["prompts_of"])]


def test_by_hand(build_run) -> None:
    """A prompt of meta draws out 6 lines of its own, 2 of google and 9 public ones; one of google 4 public ones."""
    folder = build_run(prompts=4, samples=1)
    study = Study(open_run(folder))
    model = next(p.model for p in finals(study.points) if p.strategy == "centralized")
    prompts = {r["organization"]: r["prompt"] for r in study.run.table("prompts").to_pylist() if r["kind"] == "prefix"}
    counts = {("meta", "meta"): (6, 0, 9), ("meta", "google"): (0, 2, 0), ("google", "meta"): (0, 0, 4)}
    rows = [
        {
            "model": model, "prompt": prompts[of], "sample": 0, "owner": owner, "lines": 20,
            "covered": sum(counts.get((of, owner), (0, 0, 0))),
            **dict(zip(("exclusive", "shared", "public"), counts.get((of, owner), (0, 0, 0)), strict=True)),
        }
        for of in prompts
        for owner in study.organizations
    ]  # fmt: skip
    write_table(folder, "samples", pa.Table.from_pylist(rows, schema("samples")))
    ((row, lines),) = origins(Study(open_run(folder)))
    assert lines == [{"prompts_of": "meta", "lines": 8.0, "own": 0.75, "shares": [0.75, 0.0, 0.25]}]
    assert row.mean("intra") == 0.75
    assert "<small>intra: 75.0 %</small>" in write_report(folder).read_text(encoding="utf-8")


def test_intra_is_the_diagonal(study: Study) -> None:
    """Of the lines that organizations own, as the table counts them; each organization has as many prompts here."""
    for point in finals(study.points)[::3]:
        matrix = looped(study, point.model)
        own = sum(line[number] for number, line in enumerate(matrix))
        assert study.measures(point.model)["intra", ""] == pytest.approx(own / sum(map(sum, matrix)))
