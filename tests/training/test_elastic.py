"""The pull of elastic weight consolidation beside NumPy, alone and in whole stages of two backends."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.core.errors import InputError
from raysim.training.batches import Batches
from raysim.training.deepspeed_engine import DeepSpeedTrainer
from raysim.training.elastic import FISHER
from raysim.training.model_host import ModelSpec
from raysim.training.models import build_model
from raysim.training.objectives import AppliedObjective, ObjectiveConfig
from raysim.training.request import ResumeState, Update
from raysim.training.torch_engine import TorchTrainer, next_token_loss
from raysim.training.weights import assign, flatten, trainable

STRENGTH = 3.0
EWC = ObjectiveConfig("ewc", {"strength": STRENGTH})


@pytest.fixture
def model(gpt2_spec: Callable[..., ModelSpec]) -> Any:
    spec = gpt2_spec(dropout=0.0)
    return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3)


def drawn(size: int, seed: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal(size, np.float32)


def test_the_gradient_is_that_of_the_penalty(model: Any) -> None:
    """Of nine thousand weights, by the formula in NumPy and by differentiating the penalty itself."""
    weights = flatten(model)
    start = np.add(weights, 0.1 * drawn(weights.size, 1), dtype=np.float32)
    fisher, before = np.square(drawn(weights.size, 2)), drawn(weights.size, 3)
    parameters = trainable(model)
    offset = 0
    for parameter in parameters:
        parameter.grad = torch.from_numpy(before[offset : offset + parameter.numel()]).view(parameter.shape).clone()
        offset += parameter.numel()
    AppliedObjective(EWC, parameters, start, {FISHER: fisher}).correct_gradients()
    found = np.concatenate([p.grad.numpy().ravel() for p in parameters if p.grad is not None])
    np.testing.assert_allclose(found, before + STRENGTH * fisher * (weights - start), atol=1e-5)
    theta = torch.from_numpy(weights.astype(np.float64)).requires_grad_()
    penalty = STRENGTH / 2 * (torch.from_numpy(fisher) * (theta - torch.from_numpy(start)) ** 2).sum()
    (gradient,) = torch.autograd.grad(penalty, theta)
    np.testing.assert_allclose(found - before, gradient.numpy(), atol=1e-5)
    assert np.abs(gradient.numpy()).max() > 0.1


def test_a_parameter_without_a_gradient_gets_none(model: Any) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    AppliedObjective(EWC, [parameter], np.ones(2, np.float32), {FISHER: np.ones(2, np.float32)}).correct_gradients()
    assert parameter.grad is None


PLAIN = {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant", "warmup_fraction": 0.0, "weight_decay": 0.0}


def bare_loop(model: Any, sequences: np.ndarray, task: Any, fisher: np.ndarray) -> np.ndarray:
    """A stage as one would write it without raysim."""
    batches = Batches(task.seed, len(sequences), task.settings.batch_size)
    weights, model = flatten(model), model.train()
    start = weights
    for step in range(task.epochs * batches.per_epoch):
        assign(model, weights)
        ids = torch.tensor(sequences[batches.rows(step)], dtype=torch.long)
        gradients = torch.autograd.grad(next_token_loss(model, ids, task.settings), trainable(model))
        g = np.concatenate([one.numpy().ravel() for one in gradients]) + STRENGTH * fisher * (weights - start)
        clipped = g * min(1.0, task.settings.gradient_clip / np.linalg.norm(g))
        weights = np.subtract(weights, 0.1 * clipped, dtype=np.float32)
    return weights


@pytest.mark.parametrize(("backend", "clip"), [("torch", 1e9), ("torch", 0.5), ("deepspeed", 1e9)])
def test_a_stage_equals_a_bare_loop_and_resumes(
    model: Any, sequences: np.ndarray, make_task: Any, backend: str, clip: float
) -> None:
    start = flatten(model)
    fisher = 0.2 * np.square(drawn(start.size, 9))
    task = make_task(backend=backend, gradient_clip=clip, objective=EWC, checkpoint_every_s=0.0, **PLAIN)
    trainer = (DeepSpeedTrainer if backend == "deepspeed" else TorchTrainer)(model)

    def train(resume: Any = None, **buffers: np.ndarray) -> list[Any]:
        request = make_request(task, sequences, start, resume=resume)
        return list(trainer.train(dataclasses.replace(request, objective_buffers=buffers)))

    *events, update = train(fisher=fisher)
    assert isinstance(update, Update)
    assign(model, start)
    expected = bare_loop(model, sequences, task, fisher)
    np.testing.assert_allclose(update.weights, expected, atol=2e-6)
    assert update.objective_state == {}
    middle = [event.state for event in events if isinstance(event, ResumeState)][2]
    assert np.array_equal(train(middle, fisher=fisher)[-1].weights, update.weights)
    # Pulled by nothing, it goes further, where weights matter most of all.
    free = train(fisher=np.zeros_like(fisher))[-1].weights
    heavy = fisher > 0.4
    assert np.linalg.norm((update.weights - start)[heavy]) < 0.85 * np.linalg.norm((free - start)[heavy])


@pytest.mark.parametrize("settings", [{}, {"strength": 0}, {"strength": -1}])
def test_the_strength_is_given_and_positive(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"objective\.ewc: strength"):
        ObjectiveConfig("ewc", settings).recipe()
