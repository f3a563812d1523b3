"""Differences between runs equal those by hand, over what both have; equal runs do not differ."""

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_tables import Options, Setting, build

from raysim.analysis.comparison import LINES, LOSS, comparison_table
from raysim.analysis.findings import assess
from raysim.analysis.results import RunResults
from raysim.tables.results import open_run


def results_of(folder: Path, **options: Any) -> RunResults:
    return RunResults(open_run(build(folder, Options(**{"files": 12, "prompts": 12, "seeds": (1, 2), **options}))))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResults, RunResults]:
    folder = tmp_path_factory.mktemp("compared")
    tuned, worse = (Setting("tuned", "centralized", variant="tuned", worse=nats) for nats in (0.0, 0.3))
    return results_of(folder / "one", more=(tuned,)), results_of(folder / "two", more=(worse,))


def rows_of(*runs: RunResults) -> dict[tuple[str, str, str], dict[str, Any]]:
    table = comparison_table([(f"run {i}", results) for i, results in enumerate(runs)])
    return {(row["finding"], row["what"], row["setting"]): row for row in table.to_pylist()}


def test_equal_runs_do_not_differ(pair: tuple[RunResults, RunResults]) -> None:
    rows = rows_of(pair[0], pair[0])
    assert {row["difference"] for row in rows.values()} == {0.0}
    assert {row["low"] for row in rows.values()} == {None}, "what does not vary has no interval"


def test_a_worse_setting_differs_by_as_much(pair: tuple[RunResults, RunResults]) -> None:
    rows = rows_of(*pair)
    losses = [results.run.losses.to_pylist() for results in pair]

    def bits(which: int, model: str) -> float:
        mine = [row for row in losses[which] if row["model"] == model and row["split"] == "valid"]
        return sum(row["nats"] for row in mine) / log(2) / sum(row["bytes"] for row in mine)

    by_seed = []
    for seed in (1, 2):
        models = [
            next(
                m["model"]
                for m in results.run.models.to_pylist()
                if (m["strategy"], m["seed"], m["final"]) == ("tuned", seed, True)
            )
            for results in pair
        ]
        by_seed.append(bits(1, models[1]) - bits(0, models[0]))
    row = rows["", LOSS, "tuned"]
    assert row["difference"] == pytest.approx(np.mean(by_seed))
    assert row["difference"] == pytest.approx(0.3 / log(2) / 3), "three bytes a token"
    assert row["low"] is None
    assert "do not vary" in row["note"]
    assert (row["seeds"], row["items"]) == (2, 36)
    assert rows["", LOSS, "fedavg"]["difference"] == 0.0
    assert ("", LINES, "fedavg") in rows


def test_what_varies_has_an_interval(pair: tuple[RunResults, RunResults], tmp_path: Path) -> None:
    more = results_of(tmp_path / "leaks", leak=1.5)
    row = rows_of(pair[0], more)["", LINES, "fedavg"]
    assert 0 < row["low"] < row["difference"] < row["high"]


def test_a_contrast_shifts_by_what_it_is_in_either_run(pair: tuple[RunResults, RunResults]) -> None:
    rows = rows_of(*pair)
    values: list[dict[tuple[str, str, str], list[float]]] = [{}, {}]
    for found, results in zip(values, pair, strict=True):
        for row in assess(results)[0].to_pylist():
            found.setdefault((row["finding"], row["contrast"], row["arm"]), []).append(row["value"])
    shifts = {key: row for key, row in rows.items() if key[0] in ("F2", "F3")}
    assert {key[0] for key in shifts} == {"F2", "F3"}
    for key, row in shifts.items():
        assert row["difference"] == pytest.approx(np.mean(values[1][key]) - np.mean(values[0][key]), abs=1e-9)
    of_tuned = [row["difference"] for key, row in shifts.items() if key[0] == "F2" and "tuned" in key[2]]
    assert of_tuned
    assert max(of_tuned) < -0.2, "federated minus one that is worse by 0.3 nats"


def test_runs_with_nothing_in_common_have_no_row(pair: tuple[RunResults, RunResults], tmp_path: Path) -> None:
    assert rows_of(pair[0], results_of(tmp_path / "others", organizations=("x", "y", "z"))) == {}
    assert rows_of(pair[0], results_of(tmp_path / "seeds", seeds=(8,))) == {}
