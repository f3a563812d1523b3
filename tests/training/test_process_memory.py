"""What a stage took is given back when it ends, however it ends: nothing stays but the host's one model."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensor
from train_requests import make_request

from raysim.core.errors import RunError
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.rank_worker import train_here
from raysim.training.request import ResumeState, TrainTask, Update

SPEC = ModelSpec(
    ModelSettings(config={"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 32}), 300, 0, context=16
)
PARAMETERS = SPEC.count_parameters().total
ZERO = {"backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": 2}}}


def tensor_bytes() -> int:
    """Of all tensors that are alive in this process, shared storages once, cycles that nobody collected included.

    Fake tensors, of which torch keeps some after a dry run, hold nothing.
    """
    # Asking each object for its class would wake lazy modules up.
    found = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor) and not issubclass(type(o), FakeTensor)]
    return sum({s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in found)}.values())


@pytest.fixture(params=[{}, ZERO], ids=["torch", "deepspeed"])
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def test_only_the_model_stays(
    settings: dict[str, Any], sequences: np.ndarray, make_task: Callable[..., TrainTask]
) -> None:
    """Weights once: no gradients, moments, masters or second models; the events are the caller's."""
    weights = np.full(PARAMETERS, 0.01, np.float32)
    gc.collect()
    client, before = ModelHost("a"), tensor_bytes()
    for _ in range(2):
        *_, update = train_here(client, make_request(make_task(**settings), sequences, weights, spec=SPEC))
        assert isinstance(update, Update)
        assert tensor_bytes() - before < 1.2 * weights.nbytes
    model = client.model(SPEC)
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())


def test_a_stage_that_fails_leaves_no_more(sequences: np.ndarray, make_task: Callable[..., TrainTask]) -> None:
    weights = np.full(PARAMETERS, np.nan, np.float32)
    gc.collect()
    client, before = ModelHost("a"), tensor_bytes()
    with pytest.raises(RunError, match="not finite"):
        list(train_here(client, make_request(make_task(), sequences, weights, spec=SPEC)))
    assert tensor_bytes() - before < 1.2 * weights.nbytes


def test_neither_does_one_that_is_cut_off(sequences: np.ndarray, make_task: Callable[..., TrainTask]) -> None:
    weights = np.full(PARAMETERS, 0.01, np.float32)
    gc.collect()
    client, before = ModelHost("a"), tensor_bytes()
    stage: Any = train_here(client, make_request(make_task(checkpoint_every_s=0.0), sequences, weights, spec=SPEC))
    assert any(isinstance(event, ResumeState) for event in stage)
    stage = train_here(client, make_request(make_task(checkpoint_every_s=0.0), sequences, weights, spec=SPEC))
    next(event for event in stage if isinstance(event, ResumeState))
    gc.unfreeze()  # what was there before a stage is left out by collections, and so by this count
    assert tensor_bytes() - before > 2.5 * weights.nbytes
    stage.close()
    assert tensor_bytes() - before < 1.2 * weights.nbytes


def test_a_checkpoint_is_the_callers_alone(sequences: np.ndarray, make_task: Callable[..., TrainTask]) -> None:
    """It would lie beside the steps up to the next one, three times as large as the weights."""
    weights = np.full(PARAMETERS, 0.01, np.float32)
    alive: list[bool] = []
    before: Any = None
    for event in train_here(
        ModelHost("a"), make_request(make_task(checkpoint_every_s=0.0), sequences, weights, spec=SPEC)
    ):
        if before:
            alive.append(before() is not None)
        before = weakref.ref(event.state.arrays["weights"]) if isinstance(event, ResumeState) else None
        del event
    assert alive
    assert not any(alive)
