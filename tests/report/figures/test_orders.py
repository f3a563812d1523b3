"""Figures of incremental training: dots are models, lines run through their means."""

from statistics import mean

import pytest

from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.report.figures.orders import forgetting, order_positions
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(run):
    return RunResults(open_run(run))


def covered(results, model, owner):
    return results.measures(model.model)["covered_eligible", owner]


def test_positions_are_those_of_the_members(results):
    figure = order_positions(results)
    assert figure is not None
    dots, line = figure.spec["data"][:2]  # of the first owner
    ends = [m for m in finals(results.reached_models) if m.family == "incremental"]
    expected = sorted((m.members.index("meta") + 1, covered(results, m, "meta")) for m in ends)
    assert sorted(zip(dots["x"], dots["y"], strict=True)) == expected
    means = [mean(value for place, value in expected if place == k) for k in (1, 2, 3)]
    assert (list(line["x"]), list(line["y"])) == ([1, 2, 3], pytest.approx(means))


def test_forgetting_counts_stages_since_an_organization_was_trained(results):
    figure = forgetting(results)
    assert figure is not None
    assert sorted(set(figure.spec["data"][0]["x"])) == [-3, -2, -1, 0, 1, 2]
    last = next(m for m in finals(results.reached_models) if m.order == "google > microsoft > meta")
    dots = list(zip(figure.spec["data"][0]["x"], figure.spec["data"][0]["y"], strict=True))
    assert (0, pytest.approx(covered(results, last, "meta"))) in dots


@pytest.mark.parametrize("settings", [{"without": ("incremental",)}, {"memorization": False}])
def test_without_orders_or_memorization_there_is_no_figure(build_run, settings):
    results = RunResults(open_run(build_run(prompts=2, files=2, **settings)))
    assert order_positions(results) is None
    assert forgetting(results) is None


def test_without_models_in_between_nothing_is_forgotten(build_run):
    """Models after the first stage are those of single organizations, which would be probed as these."""
    folder = build_run(prompts=2, files=2, probe_stages=False, without=("single",))
    assert forgetting(RunResults(open_run(folder))) is None
