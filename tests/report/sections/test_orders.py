from pathlib import Path
from typing import Any

import pytest

from raysim.analysis.order_effects import effects_table
from raysim.analysis.orders import incremental_orders, orders_table, outcomes
from raysim.analysis.results import RunResults
from raysim.report.sections.orders import NUM_OPEN_ORDERS, order_blocks
from raysim.tables.results import open_run

FOUR = ("meta", "microsoft", "google", "anyscale")


def block_of(folder: Path) -> Any:
    results = RunResults(open_run(folder))
    (block,) = order_blocks(results, orders_table(results).to_pylist(), effects_table(results).to_pylist())
    return block


@pytest.fixture(scope="module")
def block(run):
    return block_of(run)


def test_orders_are_listed_by_score(run, block):
    results = RunResults(open_run(run))
    (orders,) = incremental_orders(results)
    best = min(outcomes(results, orders), key=lambda one: one.score(0.05))
    assert block.ranked[0].order == " > ".join(best.order)
    assert [one.rank for one in block.ranked] == [1, 2, 3, 4, 5, 6]
    assert block.summary == "All 6 orders, 1 seed."


def test_prices_run_from_the_best_quality_to_the_least_leakage(block):
    prices = block.prices
    assert prices[0].bits_per_byte == min(one.bits_per_byte for one in block.ranked)
    assert prices[-1].exclusive == min(one.exclusive for one in block.ranked)
    assert prices[0].best.startswith("0 to ") or prices[0].best == "any"


def test_four_organizations_have_one_and_unfold_the_last_orders(build_run):
    block = block_of(build_run(organizations=FOUR, prompts=4, files=2))
    assert [name for name, _ in block.regression.rows][:2] == ["meta before microsoft", "meta before google"]
    assert block.regression.rows[-1][0] == "variance explained"
    assert len(block.ranked) == 24
    assert all(one.open == (one.rank <= NUM_OPEN_ORDERS or bool(one.best)) for one in block.ranked)
    assert not block.ranked[-1].open


def test_ranks_over_seeds_stand_beside_the_rank(build_run):
    block = block_of(build_run(seeds=(1, 2), prompts=4))
    assert all(one.ranks.endswith("over seeds") for one in block.ranked)
    assert any(cell.spread for _, cells in block.positions.rows for cell in cells)


def test_one_order_has_a_rank_and_no_effects(build_run):
    block = block_of(build_run(orders=(("meta", "google", "microsoft"),), prompts=4))
    assert [one.best for one in block.ranked] == ["any"]
    assert block.num_orders == 1
    assert block.positions is block.followers is block.regression is None
    assert block.attribution is not None


def test_two_organizations_are_compared(build_run):
    block = block_of(build_run(organizations=("a", "b"), prompts=4))
    assert block.positions.columns == ["first", "last", "explained"] * 2
    assert block.notes == []


@pytest.mark.parametrize("settings", [{"memorization": False}, {"perplexity": False}])
def test_without_one_of_the_measures_nothing_is_ranked(build_run, settings):
    block = block_of(build_run(prompts=4, **settings))
    assert block.ranked == block.prices == []
    assert block.positions is not None
