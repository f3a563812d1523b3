from math import log

import pytest

from raysim.analysis.reached_models import finals
from raysim.analysis.results import MEASURES, RunResults
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(run):
    return RunResults(open_run(run))


def of(results, name):
    return results.run.table(name).to_pylist()


def test_quality_is_pooled_over_files(results):
    point = next(p for p in finals(results.reached_models) if p.strategy == "centralized")
    rows = [row for row in of(results, "losses") if row["model"] == point.model and row["split"] == "valid"]
    nats = sum(row["nats"] for row in rows)
    found = results.measures(point.model)
    assert found["log_perplexity", ""] == pytest.approx(nats / sum(row["tokens"] for row in rows))
    assert found["bits_per_byte", ""] == pytest.approx(nats / log(2) / sum(row["bytes"] for row in rows))
    mine = [row for row in rows if row["organization"] == "meta"]
    assert found["accuracy", "meta"] == pytest.approx(sum(r["correct"] for r in mine) / sum(r["tokens"] for r in mine))


def test_training_loss_is_of_what_a_model_has_seen(results):
    """A model of one organization says of the others' sequences how it generalizes, not how well it is fitted."""
    point = next(p for p in finals(results.reached_models) if p.strategy == "single")
    rows = [row for row in of(results, "losses") if row["model"] == point.model and row["split"] == "train"]
    by_owner = {row["organization"]: row["nats"] / row["tokens"] for row in rows}
    found = results.measures(point.model)
    assert found["training_loss", ""] == pytest.approx(by_owner[point.organizations[0]])
    assert {owner: found["training_loss", owner] for owner in by_owner} == pytest.approx(by_owner)
    assert len(set(by_owner.values())) > 1
    initial = next(p for p in results.reached_models if p.moment == "initial")
    assert results.measures(initial.model)["training_loss", ""] == pytest.approx(7.0, abs=0.1)


def test_exclusive_lines_are_a_prompt_of_training_text(results):
    point = next(p for p in finals(results.reached_models) if p.strategy == "fedyogi")
    training = {row["prompt"] for row in of(results, "prompts") if row["kind"] != "held_out"}
    rows = [r for r in of(results, "samples") if r["model"] == point.model and r["prompt"] in training]
    assert rows
    assert results.measures(point.model)["exclusive", ""] == pytest.approx(
        sum(r["exclusive"] for r in rows) / len(training)
    )


def test_covered_lines_of_an_owner_are_an_eligible_prompt(results):
    point = next(p for p in finals(results.reached_models) if p.strategy == "centralized")
    eligible = {row["prompt"] for row in of(results, "prompts") if row["eligible"]}
    rows = [r for r in of(results, "samples") if r["model"] == point.model and r["prompt"] in eligible]
    total = sum(row["covered"] for row in rows if row["owner"] == "google")
    assert results.measures(point.model)["covered_eligible", "google"] == pytest.approx(total / len(eligible))


def test_parsing_counts_function_prompts(results):
    point = next(p for p in finals(results.reached_models) if p.strategy == "centralized")
    asked = [r["parses"] for r in of(results, "generations") if r["model"] == point.model and r["parses"] is not None]
    assert results.measures(point.model)["parses", ""] == pytest.approx(sum(asked) / len(asked))


def test_orders_are_averaged_within_a_seed_and_their_spread_is_apart(results):
    row = next(row for row in results.final_rows() if row.strategy == "incremental")
    values = [
        results.measures(p.model)["exclusive", ""]
        for p in finals(results.reached_models)
        if p.strategy == "incremental"
    ]
    cell = row.cells["exclusive", ""]
    assert row.num_orders == 6
    assert cell.mean == pytest.approx(sum(values) / 6)
    assert (cell.low, cell.high) == (pytest.approx(cell.mean), pytest.approx(cell.mean))
    assert (cell.orders_low, cell.orders_high) == (min(values), max(values))


def test_seeds_have_a_spread_of_their_own(build_run):
    results = RunResults(open_run(build_run(seeds=(1, 2, 3), prompts=4)))
    row = next(row for row in results.final_rows() if row.strategy == "fedavg")
    values = [
        results.measures(p.model)["bits_per_byte", ""] for p in finals(results.reached_models) if p.strategy == "fedavg"
    ]
    cell = row.cells["bits_per_byte", ""]
    assert row.num_seeds == 3
    assert (cell.low, cell.high) == (min(values), max(values))


def test_rows_by_order_are_one_each(results):
    labels = [row.label for row in results.final_rows(by_order=True)]
    assert len(labels) == len(set(labels)) == 12
    assert "incremental: meta > google > microsoft" in labels


def test_a_federation_without_an_organization_has_a_label_of_its_own(build_run):
    results = RunResults(open_run(build_run(leave_one_out=True, prompts=1)))
    labels = [row.label for row in results.final_rows()]
    assert len(labels) == len(set(labels))
    assert "fedavg: meta + microsoft" in labels


def test_every_measure_is_explained(results):
    taken = {measure for point in finals(results.reached_models) for measure, _ in results.measures(point.model)}
    # What a test split, pass@k and matches under any names add is taken in tests/report.
    assert taken == set(MEASURES) - {"passes", "test_bits_per_byte", "renamed"}


def test_nothing_measured_gives_rows_without_cells(build_run):
    results = RunResults(open_run(build_run(memorization=False, perplexity=False)))
    assert results.final_rows()
    assert all(not row.cells for row in results.final_rows())
