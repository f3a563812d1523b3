"""Batches: every sequence once an epoch, in an order that nothing but the seed decides."""

import numpy as np
import pytest

from raysim.training.batches import Batches, rows_in


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
