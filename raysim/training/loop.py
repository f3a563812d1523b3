"""The training loop of every backend: batches, rates, seeds, events. An engine takes the steps."""

import math
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from raysim.core.errors import Diverged, NodeLeaves
from raysim.core.keys import seed_of
from raysim.training.batches import Batches, PoissonBatches
from raysim.training.departure import DEPARTURE
from raysim.training.objectives import make_objective, stateful, whole_buffers
from raysim.training.process_group import ALONE, ProcessGroup
from raysim.training.process_memory import peak_memory_bytes
from raysim.training.request import (
    EpochCheckpoint,
    Event,
    Progress,
    ResumeState,
    TrainRequest,
    TrainState,
    TrainTask,
    Update,
)
from raysim.training.schedule import rate_at
from raysim.training.throughput import Speed, peak_flop_per_s
from raysim.training.weights import Flat

if TYPE_CHECKING:
    import torch

_PROGRESS_EVERY_S = 0.5
_LOOK_EVERY_STEPS = {"cpu": 1, "cuda": 16}
"""A look at losses waits for the device; between looks the host may run ahead of a GPU."""


class Engine(Protocol):
    """One rank's model and optimizer, loaded and ready.

    A step applies the local objective of the request, see `raysim.training.objectives.AppliedObjective`; a backend that
    cannot refuses it in `raysim.training.request.Trainer.check`.
    """

    flop_per_token: int
    """Of training; see `raysim.training.throughput.flop_per_token`."""

    def step(self, pieces: "list[tuple[torch.Tensor, float, int]]", rate: float) -> "tuple[torch.Tensor, torch.Tensor]":
        """One optimizer step.

        Args:
            pieces: token ids ``[rows, sequence_length]``, their share of the step's rows, and a seed for dropout, for
                each gradient that is summed.
            rate: learning rate.

        Returns:
            This rank's part of the mean loss in nats a token, and the norm of the whole gradient before clipping.
        """
        ...

    def set_dropout(self, on: bool) -> None:
        """Has the steps from here on drop activations, which they do at first, or not."""
        ...

    def weights(self) -> Flat:
        """The weights, float32; every rank must ask at once, rank 0 gets them whole."""
        ...

    def optimizer_state(self) -> Mapping[str, Flat]:
        """What the optimizer keeps, by name, in the order of the weights; every rank must ask at once."""
        ...

    def counters(self) -> Mapping[str, float]:
        """What else the optimizer counts beside its steps."""
        ...


def run_loop(engine: Engine, request: TrainRequest, group: ProcessGroup = ALONE) -> Iterator[Event]:
    """Trains with `engine`, which holds the weights and the state to begin with; only rank 0 has events.

    Every rank makes the same decisions at the same steps: losses are summed over ranks, and rank 0 alone looks at the
    clock.

    Raises:
        Diverged: the loss or the gradient is no finite number.
        NodeLeaves: the node of a rank is about to go; the last event was the state from which the stage goes on.
    """
    import torch

    task, sequences, resume = request.task, request.sequences, request.resume
    settings, start = task.settings, request.initial_state
    past_steps = int(start.counters["past_steps"]) if start else 0
    step = int(resume.counters["step"]) if resume else 0
    rate_sum = resume.counters["learning_rate_sum"] if resume else 0.0
    first_loss = resume.counters["first_loss"] if resume else math.nan
    epoch_loss = resume.counters["epoch_loss"] if resume else 0.0

    batches = _batches(task, len(sequences))
    per_epoch = task.epoch_steps or batches.per_epoch
    num_steps, horizon_steps = task.epochs * per_epoch, task.horizon_epochs * per_epoch
    reader = _Reader(task, batches, sequences, group)
    look_every = _LOOK_EVERY_STEPS[settings.device]
    # Losses and norms of the steps since the last look, whether a checkpoint is due, and whether a node goes.
    seen = torch.zeros(2 * look_every + 2, device=settings.device)
    looked, tokens = step, 0
    clock = _Clock(task.checkpoint_every_s)
    if settings.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    dropping = True
    while step < num_steps:
        if dropping and not task.drops_out(step // per_epoch):
            engine.set_dropout(False)
            dropping = False
        rate = rate_at(
            past_steps + step, horizon_steps, settings.learning_rate, settings.warmup_fraction, settings.schedule
        )
        loss, norm = engine.step(reader.read(step), rate)
        seen[step - looked] = loss
        seen[look_every + step - looked] = norm
        rate_sum += rate
        tokens += len(batches.rows(step)) * sequences.shape[1]
        step += 1
        epoch, in_epoch = divmod(step - 1, per_epoch)
        ends_epoch = in_epoch == per_epoch - 1
        if step - looked < look_every and not ends_epoch:
            continue
        due = clock.is_checkpoint_due(), DEPARTURE.is_near()
        values, checkpoint_due, leaving = _look(seen, look_every, step - looked, due, group)
        for number, (value, length) in enumerate(values, looked):
            if not (math.isfinite(value) and math.isfinite(length)):
                raise Diverged(
                    f"{task.label}: loss {value} and gradient norm {length} at step {number + 1} are not finite;"
                    " lower trainer.learning_rate, or use precision: fp32 (the last checkpoint is kept)"
                )
            first_loss = value if number == 0 else first_loss
            epoch_loss = (epoch_loss if number % per_epoch else 0.0) + value * len(batches.rows(number))
        looked = step
        last_loss = values[-1][0]
        if group.rank == 0 and clock.is_progress_due(step == num_steps):
            with clock.paused():
                yield Progress(step, num_steps, epoch + 1, last_loss, tokens)
        if task.checkpoint_epochs and ends_epoch:
            weights = engine.weights()
            if group.rank == 0:
                with clock.paused():
                    yield EpochCheckpoint(epoch + 1, weights)
            del weights
        if (checkpoint_due or leaving) and step < num_steps:
            counters = {
                "step": step,
                "past_steps": past_steps,
                "learning_rate_sum": rate_sum,
                "first_loss": first_loss,
                "epoch_loss": epoch_loss,
                **engine.counters(),
            }
            state = TrainState({"weights": engine.weights(), **engine.optimizer_state()}, counters)
            if group.rank == 0:
                with clock.paused():
                    yield ResumeState(state)
            del state  # three buffers that would lie beside the steps up to the next one
            clock.checkpointed()
            if leaving:
                raise NodeLeaves(f"the node that it ran on is about to go; step {step} of {num_steps} is kept")
    seconds = clock.seconds()
    data_seconds, peak = group.largest([reader.seconds, float(peak_memory_bytes(settings.device))], settings.device)
    weights = engine.weights()
    state = None
    if task.keep_state:
        state = TrainState(engine.optimizer_state(), {"past_steps": past_steps + num_steps, **engine.counters()})
    rows, rows_before = batches.rows_in(num_steps), batches.rows_in(num_steps - per_epoch)
    metrics = {
        "steps": num_steps,
        "tokens": rows * sequences.shape[1],
        "sequences": len(sequences),
        "learning_rate_sum": rate_sum,
        "first_loss": first_loss,
        "last_epoch_loss": epoch_loss / max(1, rows - rows_before),
    }
    if task.dropout_epochs is not None:
        metrics["steps_without_dropout"] = max(0, task.epochs - task.dropout_epochs) * per_epoch
    if group.rank == 0:
        device_peak = peak_flop_per_s(torch.cuda.get_device_name()) if settings.device == "cuda" else None
        speed = Speed(
            tokens=tokens,
            seconds=seconds,
            data_seconds=data_seconds,
            peak_memory_bytes=int(peak),
            flop_per_token=engine.flop_per_token,
            peak_flop_per_s=device_peak and device_peak * group.size,
        )
        yield Update(weights, state, metrics, speed, objective_state(request, weights, rate_sum))


def _batches(task: TrainTask, num_sequences: int) -> Batches:
    """The batches of a task, drawn as its objective asks for."""
    poisson = task.objective and make_objective(task.objective).poisson
    return (PoissonBatches if poisson else Batches)(task.seed, num_sequences, task.settings.batch_size)


def objective_state(request: TrainRequest, weights: Flat, learning_rate_sum: float) -> dict[str, Flat]:
    """What the objective keeps of a stage that has ended with `weights`."""
    objective = stateful(request.task.objective)
    if objective is None:
        return {}
    buffers = whole_buffers(objective, request.objective_buffers, request.weights)
    return objective.end(buffers, request.weights, weights, learning_rate_sum)


class _Reader:
    """Brings this rank's part of a batch to its device, and measures how long that takes."""

    def __init__(
        self, task: TrainTask, batches: Batches, sequences: npt.NDArray[np.int32], group: ProcessGroup
    ) -> None:
        self._task = task
        self._batches = batches
        self._sequences = sequences
        self._group = group
        self.seconds = 0.0

    def read(self, step: int) -> "list[tuple[torch.Tensor, float, int]]":
        import torch

        settings, group = self._task.settings, self._group
        started_s = time.monotonic()
        found = []
        for number, piece in enumerate(self._batches.pieces(step, settings.accumulation, group.rank, group.size)):
            ids = torch.from_numpy(self._sequences[piece.rows].astype(np.int64))
            if settings.device == "cuda":
                ids = ids.pin_memory().to(settings.device, non_blocking=True)
            # Dropout is seeded for each step, so that a checkpoint needs no random state.
            place = (number, group.rank) if number or group.rank else ()
            found.append((ids, piece.share, seed_of(self._task.seed, "dropout", step, *place)))
        self.seconds += time.monotonic() - started_s
        return found


class _Clock:
    """Says when progress and resume states are due, and how long training took."""

    def __init__(self, checkpoint_every_s: float) -> None:
        self._checkpoint_every_s = checkpoint_every_s
        self._started_s = self._progress_s = self._checkpoint_s = time.monotonic()
        self._paused_s = 0.0

    def paused(self) -> "_Pause":
        return _Pause(self)

    def wait(self, seconds: float) -> None:
        self._paused_s += seconds

    def seconds(self) -> float:
        return time.monotonic() - self._started_s - self._paused_s

    def is_progress_due(self, last: bool) -> bool:
        now_s = time.monotonic()
        if last or now_s - self._progress_s >= _PROGRESS_EVERY_S:
            self._progress_s = now_s
            return True
        return False

    def is_checkpoint_due(self) -> bool:
        return time.monotonic() - self._checkpoint_s >= self._checkpoint_every_s

    def checkpointed(self) -> None:
        self._checkpoint_s = time.monotonic()


class _Pause:
    """A time in which the consumer of events has them, and nothing trains."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._clock.wait(time.monotonic() - self._since_s)


def _look(
    seen: "torch.Tensor", look_every: int, steps: int, due: tuple[bool, bool], group: ProcessGroup
) -> tuple[list[tuple[float, float]], bool, bool]:
    """Losses, summed over ranks, and norms of the last steps; whether rank 0 wants a checkpoint, and any rank to go.

    Args:
        seen: losses and norms, ``look_every`` of each, and room for what is due.
        look_every: steps at most.
        steps: since the last look.
        due: whether this rank's clock wants a checkpoint, and whether its node goes.
        group: of the ranks.
    """
    checkpoint_due, leaving = due
    if group.size > 1:
        seen = seen.clone()
        seen[look_every:-2] /= group.size  # the norm is that of the whole gradient on every rank
        seen[-2], seen[-1] = float(checkpoint_due and group.rank == 0), float(leaving)
        group.sum(seen)
    values = seen.tolist()
    if group.size > 1:
        checkpoint_due, leaving = values[-2] > 0, values[-1] > 0
    return list(zip(values[:steps], values[look_every : look_every + steps], strict=True)), checkpoint_due, leaving
