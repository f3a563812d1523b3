"""Training requests for trainers that are handed a model, so that no spec has to build one."""

import numpy as np

from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.request import TrainRequest, TrainState, TrainTask
from raysim.training.weights import Flat

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
