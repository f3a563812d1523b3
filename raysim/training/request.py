"""The trainer protocol: training is a pure function of a request; it streams events and ends with an update."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pydantic

from raysim.core.errors import InputError
from raysim.core.extensions import load_extension
from raysim.core.settings import OnlyJson, Settings
from raysim.training.goldfish import GoldfishSettings
from raysim.training.model_host import ModelSpec
from raysim.training.objectives import ObjectiveConfig
from raysim.training.process_group import ALONE, ProcessGroup
from raysim.training.schedule import Schedule
from raysim.training.throughput import Speed
from raysim.training.upload_form import UploadForm
from raysim.training.weights import Flat

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ENGINES = "raysim.engines"
"""Entry-point group of training backends; each is a class that implements `Trainer`."""

TRAIN_VERSION = 1
"""Numerics version of training; a golden-bits test says when to raise it."""


class TrainerSettings(Settings):
    """How a language model is trained. The defaults are the study's, except for its size."""

    backend: str = pydantic.Field(
        default="torch",
        description="torch, deepspeed, flower, or one that another package brings",
    )
    app: str | None = pydantic.Field(
        default=None,
        description="for backend: flower, the ClientApp that trains: module:app of a module that is installed or on"
        " PYTHONPATH, on every node",
    )
    app_config: dict[str, bool | int | pydantic.FiniteFloat | str] = pydantic.Field(
        default={}, description="for backend: flower, what the app finds in context.run_config"
    )
    deepspeed: Annotated[dict[str, Any], OnlyJson] = pydantic.Field(
        default={}, description="DeepSpeed's own config, for backend: deepspeed; for example zero_optimization"
    )
    epochs: int = pydantic.Field(default=10, ge=1, description="passes over the data in a stage that is not federated")
    sequence_length: int = pydantic.Field(default=1024, ge=8, description="tokens of a packed training sequence")
    batch_size: int = pydantic.Field(default=2, ge=1, description="sequences an optimizer step, over all ranks")
    accumulation: int = pydantic.Field(
        default=1, ge=1, description="gradients an optimizer step: the pieces that batch_size is cut into"
    )
    ranks: int = pydantic.Field(
        default=1, ge=1, description="processes that train one stage together; each has a GPU, or threads on a CPU"
    )
    optimizer: Literal["adamw", "adafactor", "yogi", "sgd"] = pydantic.Field(
        default="adamw",
        description="adafactor keeps means of rows and columns in place of two moments of every weight; yogi is adamw"
        " with a second moment that shrinks slowly; sgd takes plain gradient steps, which scaffold needs",
    )
    learning_rate: float = pydantic.Field(
        default=5e-4,
        gt=0,
        description="peak learning rate; of adafactor: longest step relative to a parameter's size",
    )
    schedule: Schedule = pydantic.Field(
        default="cosine", description="how the learning rate falls after warm-up; alternating: peak and zero in turn"
    )
    warmup_fraction: float = pydantic.Field(default=0.05, ge=0, le=1, description="of the schedule's horizon")
    weight_decay: float = pydantic.Field(default=0.1, ge=0, description="not on biases and layer norms")
    adam_betas: tuple[float, float] = pydantic.Field(
        default=(0.9, 0.999), description="of adamw and yogi; adafactor and sgd have none"
    )
    adam_epsilon: float = pydantic.Field(
        default=1e-8, gt=0, description="of adamw and yogi, whose authors take 1e-3; adafactor has its own, sgd none"
    )
    gradient_clip: float = pydantic.Field(default=1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["fp32", "bf16"] = pydantic.Field(default="fp32", description="bf16 runs under autocast")
    threads: int = pydantic.Field(default=1, ge=1, description="of a rank; fixed, because it decides bits")
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
    goldfish: GoldfishSettings | None = pydantic.Field(
        default=None,
        description="leaves out of the loss some tokens, always the same of a passage, so that none is recited; unset:"
        " none",
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
        if self.backend != "deepspeed" and self.deepspeed:
            raise ValueError(
                f"deepspeed: is given, but backend is {self.backend}; write backend: deepspeed, or leave it out"
            )
        if self.backend != "flower" and (self.app or self.app_config):
            raise ValueError(
                f"{'app' if self.app else 'app_config'}: is given, but backend is {self.backend}; write backend:"
                " flower, or leave it out"
            )
        if self.backend != "torch":
            try:
                trainer_class(self.backend).check(self)
            except InputError as error:
                raise ValueError(str(error)) from None
        return self

    def recipe(self) -> dict[str, Any]:
        """Everything that decides the numbers: not how much of a GPU is reserved.

        Epochs and client state are in the recipe of the stage, as are ranks.
        """
        recipe = self.model_dump(mode="json", exclude={"epochs", "client_state", "ranks", "deepspeed", "gpus"})
        for name in _ANOTHER_WAY.keys() & recipe:
            if name != "backend" and recipe[name] == _ANOTHER_WAY[name]:
                del recipe[name]  # so that keys are what they were before there was another way
        if self.optimizer == "adamw":
            del recipe["optimizer"]  # as before there was another one
        if self.goldfish is None:
            del recipe["goldfish"]  # likewise
        if self.optimizer in ("adafactor", "sgd"):
            del recipe["adam_betas"], recipe["adam_epsilon"]
        if self.backend != "torch":
            recipe = {**trainer_class(self.backend).recipe(self), **recipe}
        return recipe

    def canonical(self) -> "TrainerSettings":
        """The same training with torch, one rank, every batch at once; in exact arithmetic it reaches equal weights."""
        return self.model_copy(update=_ANOTHER_WAY)


_ANOTHER_WAY: dict[str, Any] = {
    "backend": "torch",
    "app": None,
    "app_config": {},
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
    """How one stage is trained.

    Attributes:
        label: names the stage in messages.
        settings: the trainer's.
        epochs: passes over the data in this stage.
        horizon_epochs: length of the learning-rate schedule; the client state says how much of it has passed.
        seed: of batch order and dropout. It derives from the key that the stage would have with canonical settings
            (`TrainerSettings.canonical`), so that all backends show the same sequences in the same order.
        checkpoint_epochs: whether the weights are wanted after every epoch, too.
        keep_state: whether the update carries the client state.
        num_sequences: how many of the client's sequences are trained on, the first ones; None: all.
        checkpoint_every_s: seconds between resume states; has no influence on the numbers.
        objective: that is minimized beside the loss of the next token; None: nothing else.
        dropout_epochs: epochs that have dropout, the first ones; None: all.
        epoch_steps: optimizer steps that count as an epoch here; None: a pass over the data.
        upload: form in which the update leaves the client; None: whole weights.
        recipe: the settings' part of the stage's recipe, for backends that compare it with what they find where they
            train; None: nothing to compare.
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
    objective: ObjectiveConfig | None = None
    dropout_epochs: int | None = None
    epoch_steps: int | None = None
    upload: UploadForm | None = None
    recipe: Mapping[str, Any] | None = None

    def drops_out(self, epoch: int) -> bool:
        """Whether epoch `epoch` (from 0) has dropout."""
        return self.dropout_epochs is None or epoch < self.dropout_epochs


@dataclass(frozen=True)
class TrainState:
    """All that training needs to go on exactly where it was.

    Attributes:
        arrays: flat float32 buffers by name: ``weights`` and what the optimizer keeps, whole, from however many ranks
            or shards.
        counters: ``step`` within the stage, ``past_steps`` of earlier rounds, running sums for the metrics, and what
            the backend counts itself.
    """

    arrays: Mapping[str, Flat]
    counters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TrainRequest:
    """Everything that a stage is a function of.

    It leaves the driver without `sequences`, which only the client has, and without `weights`, which travel beside it:
    Ray shares an array among processes of a node where it is an argument of its own. `at_client` adds both.

    Attributes:
        spec: builds the model.
        task: what to do.
        client_state: optimizer and schedule position of an earlier stage; None: fresh ones.
        resume: state in the middle of this very stage, of an attempt that was cut; None: from the beginning.
        sequences: token ids ``[num_sequences, sequence_length]``.
        weights: that the stage starts from.
        objective_buffers: of the objective, by name, as far as there are any; see
            `raysim.training.objectives.StatefulObjective`.
        upload_buffers: of the form of the upload, by name, as far as there are any.
        replayed: other organizations' sequences, which are trained on beside the client's own; they come from the
            driver, and are among `sequences` once the request is at the client.
        folder: where the client's training data lie as files while the stage lasts, for backends that read them there
            (`reads_folder`); None for others.
    """

    spec: ModelSpec
    task: TrainTask
    client_state: TrainState | None = None
    resume: TrainState | None = None
    sequences: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    weights: Flat = field(default_factory=lambda: np.empty(0, np.float32))
    objective_buffers: Mapping[str, Flat] = field(default_factory=dict)
    upload_buffers: Mapping[str, Flat] = field(default_factory=dict)
    folder: Path | None = None
    replayed: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))

    def at_client(self, sequences: npt.NDArray[np.int32], weights: Flat) -> "TrainRequest":
        """The request with the client's own sequences and the weights that came beside it."""
        if len(self.replayed):
            together = np.concatenate([sequences, self.replayed])
            return replace(self, sequences=together, weights=weights, replayed=self.replayed[:0])
        # As a plain array, since Ray copies a memory-mapped one where ranks could share it.
        return replace(self, sequences=np.asarray(sequences), weights=weights)

    @property
    def initial_state(self) -> TrainState | None:
        """The state that optimizer and counters begin with; None: fresh ones."""
        return self.resume or self.client_state

    @property
    def current_weights(self) -> Flat:
        """The weights to go on from: of the resume state, if there is one."""
        return self.resume.arrays["weights"] if self.resume else self.weights


@dataclass(frozen=True)
class Progress:
    """A sign of life: `step` of `steps`, in epoch `epoch` (from 1), loss of the last batch in nats a token."""

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
    """The result of a stage.

    Attributes:
        weights: float32 ``[num_parameters]``; once it has left the client in another form, what the server has of it.
        client_state: optimizer and schedule position; stays with the organization.
        metrics: ``steps``, ``tokens``, ``sequences``, ``learning_rate_sum``, ``first_loss``, ``last_epoch_loss``: a
            pure function of the recipe.
        speed: of this attempt; provenance, not a result.
        objective_state: buffers that the objective keeps for the organization's next stage; they stay with it.
        upload: what its form says of it, as JSON values; see `raysim.training.upload.to_send`.
        upload_state: buffers that the form keeps for the organization's next stage; they stay with it.
    """

    weights: npt.NDArray[Any]
    client_state: TrainState | None
    metrics: Mapping[str, float]
    speed: Speed
    objective_state: Mapping[str, Flat] = field(default_factory=dict)
    upload: Mapping[str, Any] = field(default_factory=dict)
    upload_state: Mapping[str, Flat] = field(default_factory=dict)


Event = Progress | ResumeState | EpochCheckpoint | Update


class Trainer(Protocol):
    """Trains one model: the protocol of training backends, the entry-point group ``raysim.engines``.

    Equal requests give equal bits, whether or not the run was cut at a resume state. A backend that steps batch by
    batch implements `raysim.training.loop.Engine` and leaves the rest to `raysim.training.loop.run_loop`. One whose
    class has ``reads_folder = True`` finds the training data as files, too, in `TrainRequest.folder`.

    Args:
        model: in float32 on the CPU, with any weights.
        group: ranks that train the stage together, one trainer each; they have joined.
    """

    def __init__(self, model: "PreTrainedModel", group: ProcessGroup = ALONE) -> None: ...

    @classmethod
    def check(cls, settings: TrainerSettings, objective: str | None = None) -> None:
        """Refuses what the backend cannot do, before anything starts.

        Args:
            settings: of an experiment.
            objective: name of a local objective that a stage has; None: it has none.

        Raises:
            ValueError: the field, what was found, and what to write.
        """
        ...

    @classmethod
    def recipe(cls, settings: TrainerSettings) -> dict[str, Any]:
        """What of the backend itself decides numbers: its own settings and a version. Part of a stage's key."""
        ...

    def train(self, request: TrainRequest) -> Iterator[Event]:
        """Streams events; the last one is the `Update`. Only rank 0 has events.

        Raises:
            RunError: the loss or the gradient is no finite number.
        """
        ...


def trainer_class(backend: str) -> type[Trainer]:
    """The training backend of that name.

    Raises:
        InputError: it is not installed.
    """
    return load_extension(ENGINES, backend, "backend", "backend", Trainer)


def reads_folder(backend: str) -> bool:
    """Whether a backend reads training data as files: its class has ``reads_folder = True``."""
    return getattr(trainer_class(backend), "reads_folder", False)
