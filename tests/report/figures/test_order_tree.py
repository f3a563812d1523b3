import json

import numpy as np
import pytest

from raysim.analysis.orders import incremental_orders
from raysim.analysis.results import RunResults
from raysim.report.figures.kit import UNKNOWN
from raysim.report.figures.order_tree import order_trees, tree_nodes
from raysim.tables.results import open_run

FOUR = ("meta", "microsoft", "google", "anyscale")
HOSTILE = "</script><img src=x onerror=alert(1)>"


def study_of(folder):
    return RunResults(open_run(folder))


def nodes_of(results):
    (orders,) = incremental_orders(results)
    return {node.prefix: node for node in tree_nodes(results, orders)}


def tree_of(results):
    (figure,) = order_trees(results)
    return figure


@pytest.fixture(scope="module")
def results(run):
    return study_of(run)


def test_the_tree_of_three_has_fifteen_stages_and_the_initial_model(results):
    nodes = nodes_of(results)
    assert len(nodes) == 16
    assert (nodes[()].first, nodes[()].last) == (0, 5)
    assert (nodes["microsoft",].first, nodes["microsoft",].last) == (2, 3)
    assert (nodes["google", "microsoft", "meta"].first, nodes["google", "microsoft", "meta"].last) == (5, 5)


def test_the_tree_of_four_has_64_stages(build_run):
    assert len(nodes_of(study_of(build_run(organizations=FOUR, prompts=1, files=1)))) == 65


def test_a_block_shows_what_its_model_measured(results):
    model = next(p.model for p in results.reached_models if p.order.startswith("google > meta") and p.index == 2)
    expected = results.measures(model)["exclusive", ""]
    assert nodes_of(results)["google", "meta"].measures["exclusive", ""] == expected
    cells = tree_of(results).spec["data"][0]
    assert cells["z"][4][2] == expected
    assert f"{expected:.2f} exclusive lines a prompt" in cells["customdata"][4][2]
    assert "google &gt; meta" in cells["customdata"][4][2]


def test_a_block_is_averaged_over_seeds(build_run):
    results = study_of(build_run(seeds=(1, 2), prompts=4))
    points = [p for p in results.reached_models if p.order.startswith("google > meta") and p.index == 2]
    expected = np.mean([results.measures(point.model)["bits_per_byte", ""] for point in points])
    assert {point.seed for point in points} == {1, 2}
    assert nodes_of(results)["google", "meta"].measures["bits_per_byte", ""] == pytest.approx(expected)


def test_models_that_were_not_probed_are_grey_and_say_so(build_run):
    figure = tree_of(study_of(build_run(probe_stages=False, prompts=4)))
    cells = figure.spec["data"][0]
    assert all(line[0] is None and line[2] is None and line[3] is not None for line in cells["z"])
    assert "not probed" in cells["customdata"][0][0]
    assert "bits per byte" in cells["customdata"][0][0]
    assert figure.spec["layout"]["plot_bgcolor"] == UNKNOWN


def test_without_memorization_there_is_no_tree(build_run):
    assert order_trees(study_of(build_run(memorization=False))) == []


def test_without_losses_the_tree_still_shows_memorization(build_run):
    figure = tree_of(study_of(build_run(perplexity=False, prompts=4)))
    assert "bits per byte not measured" in figure.spec["data"][0]["customdata"][0][3]


def test_blocks_part_where_their_orders_do(results):
    lines = [(line["y0"], line["x0"]) for line in tree_of(results).spec["layout"]["shapes"] if line["y0"] == line["y1"]]
    edges = tree_of(results).spec["data"][0]["x"]
    # Orders 0 and 1 share their first organization, 1 and 2 do not.
    assert lines[:2] == [(0.5, edges[2]), (1.5, edges[1])]
    assert len(lines) == 5


def test_orders_that_were_not_run_have_no_row(build_run):
    orders = (("meta", "google", "microsoft"), ("google", "meta", "microsoft"), ("meta", "google"))
    cells = tree_of(study_of(build_run(orders=orders, prompts=4))).spec["data"][0]
    assert len(cells["z"]) == 2


def test_names_and_numbers_give_way_where_rows_are_thin(build_run):
    results = study_of(build_run(organizations=FOUR, prompts=2, files=1))
    names = tree_of(results).spec["data"][1]
    assert len(names["text"]) == 64
    assert max(names["textfont"]["size"]) <= 12


def test_foreign_text_is_literal(build_run):
    results = study_of(build_run(organizations=(HOSTILE, "b", "%{x}"), prompts=2))
    assert "<img" not in json.dumps(tree_of(results).spec)
