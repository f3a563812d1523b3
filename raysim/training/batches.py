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

    def rows_in(self, steps: int) -> int:
        """How many rows the first `steps` steps read."""
        return rows_in(steps, self._num_sequences, self._batch_size)

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


class PoissonBatches(Batches):
    """Batches of steps that draw every sequence by itself, with the probability ``batch_size / num_sequences``.

    A batch may have any number of rows, also none. An epoch is as many steps as a pass over all would take.
    """

    def rows_in(self, steps: int) -> int:
        return sum(self._drawn(step)[1] for step in range(steps))

    def rows(self, step: int) -> npt.NDArray[np.int64]:
        generator, number = self._drawn(step)
        return np.sort(generator.choice(self._num_sequences, number, replace=False))

    def pieces(self, step: int, accumulation: int, rank: int, ranks: int) -> list[MicroBatch]:
        """As of `Batches`, for one rank; a piece may have no rows, and then a share of zero."""
        rows = self.rows(step)
        return [MicroBatch(part, len(part) / max(1, len(rows))) for part in np.array_split(rows, accumulation)]

    def _drawn(self, step: int) -> tuple[np.random.Generator, int]:
        """How many rows a step has: binomial, and any of as many are as likely; with what draws them."""
        generator = np.random.Generator(np.random.Philox(seed_of(self._seed, "poisson rows", step)))
        rate = min(1.0, self._batch_size / self._num_sequences)
        return generator, int(generator.binomial(self._num_sequences, rate))
