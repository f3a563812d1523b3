import json

import pytest

from raysim.analysis.results import RunResults
from raysim.report.figures.overview import all_figures, clone_matrix, owner_heatmap
from raysim.tables.results import open_run

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def results(run):
    return RunResults(open_run(run))


def test_all_figures_are_drawn(results):
    assert set(all_figures(results)) == {"owners", "positions", "forgetting", "curves", "frontier", "clones", "tree_0"}


def test_the_heatmap_has_a_row_a_model_and_a_column_an_owner(results):
    figure = owner_heatmap(results)
    assert figure is not None
    trace = figure.spec["data"][0]
    assert len(trace["z"]) == 3 + 1 + 6 + 2
    assert all(len(line) == 3 for line in trace["z"])
    single = trace["text"][0]
    assert not single[0].startswith("(")
    assert single[1].startswith("(")


def test_specifications_hold_plain_numbers(results):
    for figure in all_figures(results).values():
        text = json.dumps(figure.spec, allow_nan=False)
        assert "bdata" not in text


def test_foreign_text_is_literal_in_figures(build_run):
    results = RunResults(open_run(build_run(organizations=(HOSTILE, "b"))))
    for figure in all_figures(results).values():
        assert "<img" not in json.dumps(figure.spec)


def test_without_memorization_what_is_left_is_drawn(build_run):
    assert set(all_figures(RunResults(open_run(build_run(memorization=False))))) == {"curves", "clones"}


def test_without_losses_what_is_left_is_drawn(build_run):
    figures = all_figures(RunResults(open_run(build_run(perplexity=False))))
    assert set(figures) == {"owners", "positions", "forgetting", "curves", "clones", "tree_0"}


def test_shares_of_clones_are_those_of_the_table(results):
    figure = clone_matrix(results)
    assert figure is not None
    assert figure.spec["data"][0]["z"][0][0] == pytest.approx(90 / 1000)
