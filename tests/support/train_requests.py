"""Sequences, tasks and requests for trainers, without a corpus."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings, TrainRequest, TrainState, TrainTask
from raysim.training.weights import Flat

MakeTask = Callable[..., TrainTask]

UNUSED_SPEC = ModelSpec(ModelSettings(config={"model_type": "gpt2"}), 300, 0, 64)


def make_request(
    task: TrainTask,
    sequences: np.ndarray,
    weights: Flat,
    client_state: TrainState | None = None,
    resume: TrainState | None = None,
    spec: ModelSpec = UNUSED_SPEC,
) -> TrainRequest:
    """The request as a trainer gets it, with sequences and weights."""
    return TrainRequest(spec, task, client_state, resume).at_client(sequences, weights)


@pytest.fixture(scope="session")
def sequences() -> np.ndarray:
    """Ten sequences of 16 token ids under 300; with a batch size of 4 the last batch of an epoch is short."""
    return np.random.Generator(np.random.Philox(5)).integers(0, 300, (10, 16)).astype(np.int32)


@pytest.fixture
def make_task() -> MakeTask:
    """Makes a task of 2 epochs with seed 11; keyword arguments are the task's, or else the trainer's."""

    def make(**given: Any) -> TrainTask:
        task = {k: given.pop(k) for k in list(given) if k in TrainTask.__dataclass_fields__ and k != "settings"}
        settings = {"sequence_length": 16, "batch_size": 4, "learning_rate": 3e-3, "warmup_fraction": 0.25, **given}
        defaults: dict[str, Any] = {"label": "the stage", "epochs": 2, "horizon_epochs": 2, "seed": 11}
        return TrainTask(**{**defaults, "settings": TrainerSettings(**settings), "checkpoint_every_s": 1e9, **task})

    return make
