"""The trainer protocol: training is a pure function that streams events and ends with an update."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pydantic

from raysim.config import Settings
from raysim.training.schedule import Schedule
from raysim.training.weights import Flat

TRAIN_VERSION = 1
"""Numerics version of training; a golden-bits test says when to raise it."""


class TrainerSettings(Settings):
    """How a language model is trained. The defaults are the study's, except for its size."""

    backend: Literal["torch"] = "torch"
    epochs: int = pydantic.Field(default=10, ge=1, description="passes over the data in a stage that is not federated")
    sequence_length: int = pydantic.Field(default=1024, ge=8)
    batch_size: int = pydantic.Field(default=2, ge=1, description="sequences an optimizer step")
    learning_rate: float = pydantic.Field(default=5e-4, gt=0)
    schedule: Schedule = "cosine"
    warmup_fraction: float = pydantic.Field(default=0.05, ge=0, le=1, description="of the schedule's horizon")
    weight_decay: float = pydantic.Field(default=0.1, ge=0, description="not on biases and layer norms")
    adam_betas: tuple[float, float] = (0.9, 0.999)
    adam_epsilon: float = pydantic.Field(default=1e-8, gt=0)
    gradient_clip: float = pydantic.Field(default=1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["fp32", "bf16"] = pydantic.Field(default="fp32", description="bf16 runs under autocast")
    threads: int = pydantic.Field(default=1, ge=1, description="of the trainer; fixed, because it decides bits")
    device: Literal["cpu", "cuda"] = "cpu"
    client_state: Literal["keep", "reset"] = pydantic.Field(
        default="reset", description="whether an organization keeps optimizer and schedule from one round to the next"
    )

    def recipe(self) -> dict[str, Any]:
        """Everything that decides the numbers. Epochs and client state stand in the assignment."""
        return self.model_dump(mode="json", exclude={"epochs", "client_state"})


@dataclass(frozen=True)
class Task:
    """One stage of training.

    Attributes:
        label: names the stage in messages.
        settings: the trainer's.
        epochs: passes over the data in this stage.
        horizon_epochs: length of the learning-rate schedule, of which the client state says how much has passed.
        seed: of batch order and dropout; derived from the stage's key.
        snapshot_epochs: whether the weights are wanted after every epoch, too.
        keep_state: whether the update carries the client state.
        num_sequences: only the first so many are trained on; None: all.
        checkpoint_every_s: seconds between mid-stage checkpoints; has no influence on the numbers.
    """

    label: str
    settings: TrainerSettings
    epochs: int
    horizon_epochs: int
    seed: int
    snapshot_epochs: bool = False
    keep_state: bool = False
    num_sequences: int | None = None
    checkpoint_every_s: float = 30.0


@dataclass(frozen=True)
class TrainState:
    """All that training needs to go on exactly where it stood.

    Attributes:
        arrays: flat float32 buffers by name: ``weights`` and the optimizer's moments (absent before the first step).
        counters: ``step`` within the stage, ``past_steps`` of earlier rounds, running sums for the metrics.
    """

    arrays: Mapping[str, Flat]
    counters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """Training is alive: `step` of `steps`, in epoch `epoch` (from 1), loss of the last batch in nats a token."""

    step: int
    steps: int
    epoch: int
    loss: float
    tokens: int


@dataclass(frozen=True)
class Checkpoint:
    """The exact state in the middle of a stage."""

    state: TrainState


@dataclass(frozen=True)
class Snapshot:
    """The weights after epoch `epoch` (from 1) of a stage."""

    epoch: int
    weights: Flat


@dataclass(frozen=True)
class Update:
    """What a stage gives back.

    Attributes:
        weights: float32 ``[num_parameters]``.
        client_state: optimizer and schedule position; stays with the organization.
        metrics: ``steps``, ``tokens``, ``sequences``, ``learning_rate_sum``, ``first_loss``, ``last_epoch_loss``: a
        pure
            function of the recipe.
        seconds: wall time of the training loop of this attempt; provenance, not a result.
    """

    weights: Flat
    client_state: TrainState | None
    metrics: Mapping[str, float]
    seconds: float


Event = Progress | Checkpoint | Snapshot | Update


class Trainer(Protocol):
    """Trains one model. Equal arguments give equal bits, whether or not the run was cut by a checkpoint."""

    def train(
        self,
        task: Task,
        sequences: npt.NDArray[np.int32],
        weights: Flat,
        client_state: TrainState | None = None,
        resume: TrainState | None = None,
    ) -> Iterator[Event]:
        """Streams events; the last one is the `Update`.

        Args:
            task: what to do.
            sequences: token ids ``[num_sequences, sequence_length]``.
            weights: to start from.
            client_state: optimizer and schedule position of an earlier stage, or None for fresh ones.
            resume: state of a checkpoint of this very task.

        Raises:
            RunError: the loss or the gradient is no finite number.
        """
        ...
