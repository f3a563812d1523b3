"""The figures of a sweep."""

import pytest

from raysim.analysis.sweep import open_sweep
from raysim.report.figures.sweep import along, frontier, sweep_figures


def test_a_line_runs_along_a_number_for_every_setting(sweep):
    figure = along(sweep, "trainer.learning_rate")
    assert figure is not None
    full = [trace for trace in figure.spec["data"] if trace["mode"] == "lines+markers"]
    assert len(full) == 2 * 7
    assert all(trace["x"] == [0.001, 0.01] for trace in full)
    assert figure.spec["layout"]["xaxis"]["type"] == "log"


def test_pale_lines_hold_the_other_parameters(build_sweep):
    leaks = {("1", "1"): 0.1, ("1", "2"): 0.4, ("2", "1"): 0.7, ("2", "2"): 1.0}
    runs = [(values, {"leak": leak, "prompts": 2, "files": 2}) for values, leak in leaks.items()]
    swept = open_sweep(build_sweep({"a": "a", "b": "b"}, runs))
    figure = along(swept, "b")
    assert figure is not None
    mine = [t for t in figure.spec["data"] if t["name"] == "fedavg" and t["xaxis"] == "x2"]
    at = {
        tuple(p.values.values()): next(t for t in swept.trials if p in t.points and t.row.label == "fedavg")
        for p in swept.points
    }
    values = {place: trial.row.mean("exclusive") or 0.0 for place, trial in at.items()}
    pale = sorted(t["y"] for t in mine if t["mode"] == "lines")
    assert pale == sorted([[values["1", "1"], values["1", "2"]], [values["2", "1"], values["2", "2"]]])
    (full,) = (t["y"] for t in mine if t["mode"] == "lines+markers")
    assert full == pytest.approx([(values["1", b] + values["2", b]) / 2 for b in "12"])


def test_texts_have_no_axis(sweep):
    assert along(sweep, "strategies.fedyogi.tau") is None
    assert set(sweep_figures(sweep)) == {"frontier", "along0"}


def test_the_frontier_has_a_mark_a_trial_in_the_colour_of_its_setting(sweep):
    figure = frontier(sweep)
    assert figure is not None
    assert [len(trace["x"]) for trace in figure.spec["data"]] == [2] * 7
    assert len({(t["marker"]["color"], t["marker"]["symbol"]) for t in figure.spec["data"]}) == 7
