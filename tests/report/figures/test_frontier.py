"""Marks stand at means over orders within seeds; the floor is what models give away of owners they never saw."""

import numpy as np
import pytest

from raysim.analysis.results import RunResults
from raysim.report.figures.frontier import counterfactual_floor, frontier
from raysim.tables.results import open_run


def test_a_large_mark_stands_at_the_mean_over_orders_within_seeds(build_run):
    results = RunResults(open_run(build_run(seeds=(1, 2), prompts=6)))
    figure = frontier(results)
    assert figure is not None
    named = {trace["name"]: trace for trace in figure.spec["data"] if trace.get("showlegend")}
    assert list(named) == ["single", "centralized", "incremental", "fedavg", "fedyogi"]
    assert len(named["single"]["x"]) == 3
    row = next(row for row in results.final_rows() if row.strategy == "incremental")
    assert named["incremental"]["x"] == pytest.approx([row.mean("bits_per_byte")])
    assert named["incremental"]["y"] == pytest.approx([row.mean("exclusive")])
    small = [t for t in figure.spec["data"] if t.get("marker", {}).get("symbol") == "triangle-up-open"]
    assert [len(trace["x"]) for trace in small] == [2 * 6]


def test_no_picture_of_one_setting(build_run):
    rest = ("single", "incremental", "fedavg", "fedyogi")
    assert frontier(RunResults(open_run(build_run(prompts=4, without=rest)))) is None


def test_the_floor_by_hand(build_run):
    folder = build_run(prompts=6, leave_one_out=True)
    results = RunResults(open_run(folder))
    floor = 0.0
    prompts = {p["prompt"]: p for p in results.run.prompts.to_pylist()}
    training = [key for key, p in prompts.items() if p["kind"] != "held_out"]
    for owner in results.organizations:
        models = {
            m["model"]
            for m in results.run.models.to_pylist()
            if m["final"] and set(m["organizations"]) == set(results.organizations) - {owner}
        }
        lines = dict.fromkeys(((m, p) for m in models for p in training), 0)
        for row in results.run.samples.to_pylist():
            if (row["model"], row["prompt"]) in lines and row["owner"] == owner:
                lines[row["model"], row["prompt"]] += row["exclusive"]
        floor += float(np.mean(list(lines.values())))
    assert counterfactual_floor(results) == pytest.approx(floor)
    figure = frontier(results)
    assert figure is not None
    assert figure.spec["data"][-1]["name"] == f"models that never saw the owner: {floor:.2f}"
    assert figure.spec["layout"].get("annotations", []) == []
    assert counterfactual_floor(RunResults(open_run(build_run(prompts=4)))) is None
