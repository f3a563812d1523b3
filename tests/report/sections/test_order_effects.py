"""The effects of the order as tables, as the page shows them."""

from pathlib import Path
from typing import Any

import pytest

from raysim.analysis.order_effects import effects_table
from raysim.analysis.orders import incremental_orders, orders_table
from raysim.analysis.results import RunResults
from raysim.report.sections.orders import order_blocks
from raysim.tables.results import open_run


def block_of(folder: Path) -> Any:
    results = RunResults(open_run(folder))
    (block,) = order_blocks(results, orders_table(results).to_pylist(), effects_table(results).to_pylist())
    return block


@pytest.fixture(scope="module")
def block(run):
    return block_of(run)


def test_a_row_an_organization_and_a_column_a_position(block):
    table = block.positions
    assert table.groups == [("bits per byte of the final model", 4), ("its own covered lines an eligible prompt", 4)]
    assert table.columns == ["first", "2", "last", "explained"] * 2
    assert [name for name, _ in table.rows] == ["meta", "microsoft", "google"]
    assert table.starts == [4]


def test_the_strongest_effect_of_a_group_has_the_full_tint(block):
    own = [cell.tint for _, cells in block.positions.rows for cell in cells[4:7]]
    assert max(abs(tint) for tint in own) == 1
    assert any(tint < 0 for tint in own)


def test_an_organization_does_not_follow_itself(block):
    for i, (_, cells) in enumerate(block.followers.rows):
        assert cells[i].text == cells[3 + i].text == ""
        assert all(cell.text for j, cell in enumerate(cells) if j % 3 != i)


def test_who_comes_before_whom_is_turned_round_for_the_other_one(run, block):
    results = RunResults(open_run(run))
    (orders,) = incremental_orders(results)
    values = orders.finals(results, ("covered_eligible", "google"))[1]
    after = [value for order, value in values.items() if order.index("google") < order.index("meta")]
    before = [value for order, value in values.items() if order.index("google") > order.index("meta")]
    _, cells = block.followers.rows[2]
    assert cells[3].text == f"{sum(after) / 3 - sum(before) / 3:+.2f}".replace("-", "−")


def test_contributions_end_with_their_sum(block):
    name, cells = block.attribution.rows[-1]
    assert name == "final − initial"
    parts = [float(line[0].text.replace("−", "-")) for _, line in block.attribution.rows[:-1]]
    assert float(cells[0].text.replace("−", "-")) == pytest.approx(sum(parts), abs=0.002)


def test_three_organizations_have_no_regression(block):
    assert block.regression is None
    assert block.notes == []


def test_what_is_left_out_is_said(build_run):
    orders = (("meta", "google", "microsoft"), ("google", "meta", "microsoft"), ("meta", "google"))
    block = block_of(build_run(orders=orders, prompts=4, probe_stages=False))
    text = " ".join(block.notes)
    assert "1 order does not name every organization" in text
    # Of 9 positions 4 are held by one of the two orders, of 6 followers 4, of 3 pairs one.
    assert (
        f"{(9 - 4) + (6 - 4) + (3 - 1)} effects are not identified by the orders that were run: meta at 3 (position)"
        in text
    )
    assert "`when: every_stage`" in text
    assert "only all orders make them exact" in text
    assert block.summary == "2 of 6 orders, 1 seed."
