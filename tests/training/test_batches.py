"""Batches: every sequence once an epoch, in an order that nothing but the seed decides."""

import numpy as np
import pytest

from raysim.training.batches import Batches, PoissonBatches, rows_in


def test_every_sequence_once_an_epoch() -> None:
    batches = [Batches(7, 10, 4).rows(step) for step in range(3)]
    assert [len(b) for b in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))


def test_batch_order_is_what_it_has_always_been() -> None:
    """Raise TRAIN_VERSION if a change of these numbers is meant."""
    assert [Batches(7, 10, 4).rows(3 * epoch).tolist() for epoch in (0, 1)] == [[7, 4, 8, 9], [5, 9, 4, 0]]


def test_the_pieces_of_all_ranks_are_the_batch_of_one() -> None:
    """Ten rows over two ranks and three gradients: six pieces of 2, 2, 2, 2, 1 and 1 rows, handed out in turn."""
    batches = Batches(7, 10, 10)
    ranks = [batches.pieces(0, accumulation=3, rank=rank, ranks=2) for rank in range(2)]
    rows = [piece.rows.tolist() for pair in zip(*ranks, strict=True) for piece in pair]
    assert [len(part) for part in rows] == [2, 2, 2, 2, 1, 1]
    assert [row for part in rows for row in part] == batches.rows(0).tolist()
    assert sum(piece.share for rank in ranks for piece in rank) == pytest.approx(1)


def test_a_rank_without_rows_reads_one_for_nothing() -> None:
    """A last batch of one row, and two ranks: all of them take every step."""
    batches = Batches(7, 5, 4)
    first, second = (batches.pieces(1, accumulation=1, rank=rank, ranks=2)[0] for rank in range(2))
    assert (first.share, second.share) == (1.0, 0.0)
    assert second.rows.tolist() == first.rows.tolist() == batches.rows(1).tolist()


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 9, 10])
def test_rows_of_some_steps(steps: int) -> None:
    batches = Batches(7, 10, 4)
    assert rows_in(steps, 10, 4) == sum(len(batches.rows(step)) for step in range(steps))


def test_poisson_batches_draw_every_row_by_itself() -> None:
    batches = PoissonBatches(7, 20, 4)
    drawn = [batches.rows(step) for step in range(2000)]
    assert [rows.tolist() for rows in drawn[:5]] == [PoissonBatches(7, 20, 4).rows(step).tolist() for step in range(5)]
    present = np.zeros((2000, 20))
    for step, rows in enumerate(drawn):
        present[step, rows] = 1
    # Each with probability 0.2, independent of the others: sizes are binomial, of mean 4 and variance 3.2.
    assert np.abs(present.mean(0) - 0.2).max() < 5 * np.sqrt(0.16 / 2000)
    sizes = present.sum(1)
    assert abs(sizes.mean() - 4) < 5 * np.sqrt(3.2 / 2000)
    assert abs(sizes.var() - 3.2) < 0.5
    assert np.abs(np.corrcoef(present.T) - np.eye(20)).max() < 0.12
    assert batches.per_epoch == 5
    assert batches.rows_in(2000) == sizes.sum()


def test_pieces_of_poisson_batches_may_be_empty() -> None:
    batches = PoissonBatches(7, 20, 1)
    pieces = [batches.pieces(step, 2, 0, 1) for step in range(50)]
    assert {len(two) for two in pieces} == {2}
    shares = [sum(piece.share for piece in two) for two in pieces]
    assert set(np.round(shares, 9)) == {0.0, 1.0}
    rows = [np.concatenate([piece.rows for piece in two]).tolist() for two in pieces]
    assert rows == [batches.rows(step).tolist() for step in range(50)]


def test_more_rows_than_a_step_expects_are_all_drawn() -> None:
    assert PoissonBatches(7, 3, 8).rows(0).tolist() == [0, 1, 2]
