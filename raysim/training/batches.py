"""Which sequences an optimizer step reads, and which part of them a rank does."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysim.core.keys import seed_of


@dataclass(frozen=True)
class MicroBatch:
    """What one rank reads between two gradients that are summed.

    Attributes:
        rows: of the sequences.
        share: of the step's rows; the shares of all pieces of all ranks add up to one. Where there are fewer rows than
            ranks a piece has a share of zero: its one row is read for nothing, since all ranks take every step.
    """

    rows: npt.NDArray[np.int64]
    share: float


def rows_in(steps: int, num_sequences: int, batch_size: int) -> int:
    """How many rows the first `steps` steps of a task read; the last batch of each epoch may be short."""
    epochs, left = divmod(steps, -(-num_sequences // batch_size))
    return epochs * num_sequences + min(left * batch_size, num_sequences)


class Batches:
    """The batches of a task: every sequence once an epoch, in an order that task and epoch seed.

    Args:
        seed: of the task.
        num_sequences: in the corpus.
        batch_size: sequences a step; the last batch of an epoch may be short.
    """

    def __init__(self, seed: int, num_sequences: int, batch_size: int) -> None:
        self._seed = seed
        self._num_sequences = num_sequences
        self._batch_size = batch_size
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, np.int64)

    @property
    def per_epoch(self) -> int:
        """Batches an epoch."""
        return -(-self._num_sequences // self._batch_size)

    def rows(self, step: int) -> npt.NDArray[np.int64]:
        """The rows of step `step` (from 0) of the task."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = np.random.Generator(np.random.Philox(seed_of(self._seed, "batch order", epoch)))
            self._order, self._epoch = generator.permutation(self._num_sequences), epoch
        return self._order[index * self._batch_size : (index + 1) * self._batch_size]

    def pieces(self, step: int, accumulation: int, rank: int, ranks: int) -> list[MicroBatch]:
        """The pieces of `rank` of `ranks`, one for each of `accumulation` gradients that a step sums.

        The batch is cut into gradients first, then over ranks, always in its own order: the pieces of all ranks, put
        together, are the batch of a single one.
        """
        rows = self.rows(step)
        mine = np.array_split(rows, accumulation * ranks)[rank::ranks]
        return [MicroBatch(part if len(part) else rows[:1], len(part) / len(rows)) for part in mine]
