"""The comparison of a sweep, over run folders that no run has made."""

from math import exp

import pytest

from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.analysis.sweep import is_sweep, open_sweep
from raysim.core.errors import InputError
from raysim.report.sections.sweep import comparison
from raysim.report.sweep_page import write_sweep_page
from raysim.tables.io import read_table
from raysim.tables.results import open_run


def test_points_at_which_a_setting_is_the_same_are_one_trial(sweep):
    # 3 alone, centralized, incremental, 2 federations: at two rates each, whatever the tau.
    assert len(sweep.trials) == 2 * 7
    assert {tuple(point.name for point in trial.points) for trial in sweep.trials} == {
        ("point-1", "point-2"),
        ("point-3", "point-4"),
    }
    _, lines = comparison(sweep)
    assert [line.values for line in lines[:2]] == [["0.001", "any"], ["0.01", "any"]]
    assert [line.first for line in lines[:4]] == [True, False, True, False]


def test_equal_models_that_are_measured_otherwise_stay_apart(build_sweep):
    runs = [((f'"{leak}"',), {"leak": leak, "prompts": 2, "files": 2}) for leak in (0.4, 1.0)]
    centralized = [t for t in open_sweep(build_sweep({"a": "a"}, runs)).trials if t.row.family == "centralized"]
    assert [len(trial.points) for trial in centralized] == [1, 1]


def test_equal_trials_at_some_combinations_alone_stay_apart(build_sweep):
    leaks = {("1", "1"): 1.0, ("1", "2"): 0.0, ("2", "1"): 0.0, ("2", "2"): 1.0}
    runs = [(values, {"leak": leak, "prompts": 2, "files": 2}) for values, leak in leaks.items()]
    trials = open_sweep(build_sweep({"a": "a", "b": "b"}, runs)).trials
    assert [len(t.points) for t in trials if t.row.family == "centralized"] == [1, 1, 1, 1]
    assert [t.points[0].name for t in trials if t.row.family == "centralized"] == [f"point-{n}" for n in (1, 2, 3, 4)]


def test_the_measures_are_those_of_the_points_own_study(sweep_folder, sweep):
    trial = next(t for t in sweep.trials if t.row.strategy == "fedavg" and t.points[0].name == "point-3")
    own = next(r for r in RunResults(open_run(sweep_folder / "points/point-3")).final_rows() if r.strategy == "fedavg")
    assert trial.row.cells == own.cells
    assert trial.tokens == (14_600 + 14_100 + 14_300) * 10


def test_the_table_has_a_row_a_point_and_final_model(sweep_folder, sweep):
    write_sweep_page(sweep_folder)
    rows = read_table(sweep_folder, "sweep").to_pylist(maps_as_pydicts="strict")
    assert len(rows) == 4 * (3 + 1 + 6 + 2)
    row = next(r for r in rows if (r["point"], r["strategy"]) == ("point-4", "centralized"))
    results = RunResults(open_run(sweep_folder / "points/point-4"))
    end = next(p for p in finals(results.reached_models) if p.strategy == "centralized")
    measures = results.measures(end.model)
    assert row["parameters"] == {"trainer.learning_rate": "0.01", "strategies.fedyogi.tau": '"large"'}
    assert row["perplexity"] == exp(measures["log_perplexity", ""])
    assert (row["exclusive"], row["matched_share"]) == (measures["exclusive", ""], measures["matched_share", ""])


def test_a_run_is_no_sweep(run, sweep_folder):
    assert (is_sweep(run), is_sweep(sweep_folder)) == (False, True)
    with pytest.raises(InputError, match="not of a sweep"):
        open_sweep(run)
