"""What is left of who has gone, against sums over rows of `samples` and `losses`, where models give lines away."""

from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raysim.analysis.results import RunResults
from raysim.analysis.unlearning import unlearning, unlearning_table
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run

ORGANIZATIONS = {"meta", "microsoft", "google"}
GONE = "microsoft"


@pytest.fixture(scope="module")
def folder(build_run: Callable[..., Path]) -> Path:
    """A run whose chains stand for pools that forget who comes last, and rounds without that one for the aim."""
    out = build_run(leave_one_out=True, seeds=(1, 2))
    rows = []
    for row in read_table(out, "models").to_pylist():
        chain = row["family"] == "incremental" and row["order"].endswith(f"> {GONE}") and row["index"] > 1
        without = row["strategy"] == "fedavg" and set(row["organizations"]) == ORGANIZATIONS - {GONE}
        label = {"strategy": "gone", "family": "unlearned"} if chain or without else {}
        rows.append(row | label)
    write_table(out, "models", pa.Table.from_pylist(rows, schema("models")))
    return out


def models(out: Path) -> dict[str, list[dict[str, Any]]]:
    rows = [row for row in read_table(out, "models").to_pylist() if row["strategy"] == "gone"]
    whole = [row for row in rows if row["order"].endswith(f"> {GONE}")]
    return {
        "before": [row for row in whole if row["moment"] == "stage" and not row["final"]],
        "after": [row for row in whole if row["final"]],
        "without": [row for row in rows if row["final"] and row not in whole],
    }


def loss(out: Path, model: str, name: str) -> float:
    rows = [
        row
        for row in read_table(out, "losses").to_pylist()
        if (row["model"], row["organization"], row["split"]) == (model, name, "valid")
    ]
    return float(sum(row["nats"] for row in rows) / log(2) / sum(row["bytes"] for row in rows))


def lines(out: Path, model: str) -> float:
    """Exclusive lines of who has gone a prompt of its training files, those of all samples of it."""
    prompts = read_table(out, "prompts").to_pylist()
    own = {row["prompt"] for row in prompts if row["organization"] == GONE and row["kind"] != "held_out"}
    rows = [
        row
        for row in read_table(out, "samples").to_pylist()
        if (row["model"], row["owner"]) == (model, GONE) and row["prompt"] in own
    ]
    return float(sum(row["exclusive"] for row in rows) / len(own))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_before_after_and_without_by_hand(folder: Path) -> None:
    (row,) = unlearning(RunResults(open_run(folder)))
    assert (row.strategy, row.organization, row.seeds) == ("gone", GONE, 2)
    found = models(folder)
    assert [len(group) for group in found.values()] == [4, 4, 2]
    for when, group in found.items():
        keys = [one["model"] for one in group]
        own, others = getattr(row, f"own_{when}"), getattr(row, f"others_{when}")
        assert own == pytest.approx(mean([loss(folder, key, GONE) for key in keys]), rel=1e-9)
        rest = sorted(ORGANIZATIONS - {GONE})
        assert others == pytest.approx(mean([loss(folder, key, name) for key in keys for name in rest]), rel=1e-9)
        assert getattr(row, f"lines_{when}") == pytest.approx(mean([lines(folder, key) for key in keys]), rel=1e-9)
    assert row.lines_before is not None
    assert row.lines_after is not None
    assert row.lines_after > row.lines_before


def test_the_table_has_a_row_an_organization_that_has_gone(folder: Path, run: Path) -> None:
    results = RunResults(open_run(folder))
    assert [one["organization"] for one in unlearning_table(results).to_pylist()] == [GONE]
    assert unlearning_table(RunResults(open_run(run))).num_rows == 0
