"""The trainer protocol: training is a pure function that streams events and ends with an update."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pydantic

from raysim.core.keys import versions_of
from raysim.core.settings import Settings
from raysim.training.deepspeed_config import check_config, decisive, stage_of
from raysim.training.schedule import Schedule
from raysim.training.throughput import Speed
from raysim.training.weights import Flat

TRAIN_VERSION = 1
"""Numerics version of training; a golden-bits test says when to raise it."""


class TrainerSettings(Settings):
    """How a language model is trained. The defaults are the study's, except for its size."""

    backend: Literal["torch", "deepspeed"] = pydantic.Field(
        default="torch", description="engine that does the steps; deepspeed needs the extra of that name"
    )
    deepspeed: dict[str, Any] = pydantic.Field(
        default={}, description="DeepSpeed's own config, for backend: deepspeed; for example zero_optimization"
    )
    epochs: int = pydantic.Field(default=10, ge=1, description="passes over the data in a stage that is not federated")
    sequence_length: int = pydantic.Field(default=1024, ge=8, description="tokens of a packed training sequence")
    batch_size: int = pydantic.Field(default=2, ge=1, description="sequences for each optimizer step, over all ranks")
    accumulation: int = pydantic.Field(
        default=1, ge=1, description="gradients summed for each optimizer step; batch_size is divided among them"
    )
    ranks: int = pydantic.Field(
        default=1, ge=1, description="processes that train one stage together; each has a GPU, or threads on a CPU"
    )
    optimizer: Literal["adamw", "adafactor", "yogi"] = pydantic.Field(
        default="adamw",
        description="adafactor keeps means of rows and columns in place of two moments of every weight; yogi is adamw"
        " with a second moment that shrinks slowly",
    )
    learning_rate: float = pydantic.Field(
        default=5e-4,
        gt=0,
        description="peak learning rate; of adafactor: longest step relative to a parameter's size",
    )
    schedule: Schedule = pydantic.Field(default="cosine", description="how the learning rate falls after warm-up")
    warmup_fraction: float = pydantic.Field(
        default=0.05, ge=0, le=1, description="share of the schedule during which the rate rises"
    )
    weight_decay: float = pydantic.Field(
        default=0.1, ge=0, description="decoupled weight decay; not on biases and layer norms"
    )
    adam_betas: tuple[float, float] = pydantic.Field(
        default=(0.9, 0.999), description="decay of the moments of adamw and yogi; adafactor has none"
    )
    adam_epsilon: float = pydantic.Field(
        default=1e-8,
        gt=0,
        description="added to the denominator by adamw and yogi (1e-3 in Yogi's paper); adafactor has its own",
    )
    gradient_clip: float = pydantic.Field(default=1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["fp32", "bf16"] = pydantic.Field(
        default="fp32", description="bf16: forward pass under autocast, weights in fp32"
    )
    threads: int = pydantic.Field(
        default=1, ge=1, description="CPU threads of a rank; fixed, because their number decides how sums round"
    )
    device: Literal["cpu", "cuda"] = pydantic.Field(default="cpu", description="where ranks train")
    gpus: float = pydantic.Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of a GPU that a rank reserves; at 0.5 two stages train on one at once",
    )
    compile: bool = pydantic.Field(default=False, description="torch.compile; the first step takes its time")
    checkpoint_activations: bool = pydantic.Field(
        default=False, description="computes activations again in the backward pass instead of keeping them"
    )
    client_state: Literal["keep", "reset"] = pydantic.Field(
        default="reset", description="whether an organization keeps optimizer and schedule from one round to the next"
    )

    @pydantic.model_validator(mode="after")
    def _fit_together(self) -> "TrainerSettings":
        if self.batch_size % (self.ranks * self.accumulation):
            raise ValueError(
                f"batch_size: {self.batch_size} sequences cannot be cut evenly over {self.ranks} ranks and"
                f" {self.accumulation} gradients each; make it a multiple of {self.ranks * self.accumulation}"
            )
        if self.gpus < 1 and self.ranks > 1:
            raise ValueError(
                f"gpus: {self.gpus:g} of a GPU for each of {self.ranks} ranks could put two of them on one, where they"
                " cannot exchange gradients; write ranks: 1, or leave gpus out"
            )
        if self.backend == "torch" and self.deepspeed:
            raise ValueError("deepspeed: is given, but backend is torch; write backend: deepspeed, or leave it out")
        if self.backend == "deepspeed":
            if self.compile:
                raise ValueError("compile: is for backend: torch; leave it out")
            check_config(self.deepspeed, self.precision)
            if self.optimizer == "adafactor" and (stage := stage_of(self.deepspeed)):
                raise ValueError(
                    f"optimizer: adafactor needs whole matrices, and ZeRO stage {stage} has flat shards of them; write"
                    " deepspeed.zero_optimization.stage: 0, or optimizer: adamw or yogi"
                )
        return self

    def recipe(self) -> dict[str, Any]:
        """Everything that decides the numbers: not how much of a GPU is reserved.

        Epochs and client state stand in the assignment, ranks in the stage.
        """
        recipe = self.model_dump(mode="json", exclude={"epochs", "client_state", "ranks", "deepspeed", "gpus"})
        for name in _ANOTHER_WAY.keys() & recipe:
            if name != "backend" and recipe[name] == _ANOTHER_WAY[name]:
                del recipe[name]  # so that keys are what they were before there was another way
        if self.optimizer == "adamw":
            del recipe["optimizer"]  # as before there was another one
        if self.optimizer == "adafactor":
            del recipe["adam_betas"], recipe["adam_epsilon"]
        if self.backend == "deepspeed":
            recipe |= {"deepspeed": decisive(self.deepspeed), "libraries": versions_of("deepspeed")}
        return recipe

    def canonical(self) -> "TrainerSettings":
        """The same training in the plainest way: torch, one rank, every batch at once.

        In exact arithmetic the two come to the same weights.
        """
        return self.model_copy(update=_ANOTHER_WAY)


_ANOTHER_WAY: dict[str, Any] = {
    "backend": "torch",
    "deepspeed": {},
    "ranks": 1,
    "accumulation": 1,
    "compile": False,
    "checkpoint_activations": False,
}


def shares_of(gpus: float) -> int:
    """How many ranks that reserve the share `gpus` of a GPU one GPU holds; 0.1 goes into 1 ten times."""
    return math.floor(1 / gpus + 1e-9)


@dataclass(frozen=True)
class TrainTask:
    """One stage of training.

    Attributes:
        label: names the stage in messages.
        settings: the trainer's.
        epochs: passes over the data in this stage.
        horizon_epochs: length of the learning-rate schedule, of which the client state says how much has passed.
        seed: of batch order and dropout; derived from the stage's key, or rather from the one that it would have if
            it were trained in the plainest way: then all ways show the same sequences in the same order.
        checkpoint_epochs: whether the weights are wanted after every epoch, too.
        keep_state: whether the update carries the client state.
        num_sequences: only the first so many are trained on; None: all.
        checkpoint_every_s: seconds between mid-stage checkpoints; has no influence on the numbers.
    """

    label: str
    settings: TrainerSettings
    epochs: int
    horizon_epochs: int
    seed: int
    checkpoint_epochs: bool = False
    keep_state: bool = False
    num_sequences: int | None = None
    checkpoint_every_s: float = 30.0


@dataclass(frozen=True)
class TrainState:
    """All that training needs to go on exactly where it stood.

    Attributes:
        arrays: flat float32 buffers by name: ``weights`` and what the optimizer keeps, whole, however many ranks
            or shards it came from.
        counters: ``step`` within the stage, ``past_steps`` of earlier rounds, running sums for the metrics, and what
            the backend counts itself.
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
class ResumeState:
    """The exact state in the middle of a stage."""

    state: TrainState


@dataclass(frozen=True)
class EpochCheckpoint:
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
            pure function of the recipe.
        speed: of this attempt; provenance, not a result.
    """

    weights: Flat
    client_state: TrainState | None
    metrics: Mapping[str, float]
    speed: Speed


Event = Progress | ResumeState | EpochCheckpoint | Update


class Trainer(Protocol):
    """Trains one model. Equal arguments give equal bits, whether or not the run was cut by a checkpoint."""

    def train(
        self,
        task: TrainTask,
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
