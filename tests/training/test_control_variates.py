import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.core.errors import InputError
from raysim.core.settings import Settings, validate
from raysim.training.batches import Batches
from raysim.training.control_variates import CONTROL, OWN, ControlVariates
from raysim.training.deepspeed_engine import DeepSpeedTrainer
from raysim.training.models import build_model
from raysim.training.objectives import AppliedObjective, ObjectiveConfig, stateful, whole_buffers
from raysim.training.request import ResumeState, TrainerSettings, Update
from raysim.training.torch_engine import TorchTrainer, next_token_loss
from raysim.training.weights import assign, flatten, trainable


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_gradients_are_corrected_by_the_difference_of_the_two() -> None:
    first, second = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))
    first.grad = torch.tensor([1.0, 1.0])
    buffers = {CONTROL: f32(5, 0, 7), OWN: f32(2, 1, 0)}
    applied = AppliedObjective(ObjectiveConfig("control_variates"), [first, second], f32(0, 0, 0), buffers)
    applied.correct_gradients()
    assert first.grad.tolist() == [4, 0]
    assert second.grad is None


def test_in_the_first_round_nothing_is_corrected() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, -1.0])
    AppliedObjective(ObjectiveConfig("control_variates"), [parameter], f32(0, 0)).correct_gradients()
    assert parameter.grad.tolist() == [1, -1]


def test_what_is_kept_is_the_mean_of_the_clients_own_gradients() -> None:
    """Steps by g - c_i + c with rates 0.5 and 0.25: the mean is weighted by them, whatever the correction was."""
    gradients, rates, c, c_i = [f32(4, -2), f32(1, 1)], [0.5, 0.25], f32(3, 0), f32(1, 5)
    start = f32(10, 10)
    steps = [rate * (g - c_i + c) for rate, g in zip(rates, gradients, strict=True)]
    end = start - np.sum(steps, axis=0, dtype=np.float32)
    kept = ControlVariates(Settings()).end({CONTROL: c, OWN: c_i}, start, end, sum(rates))
    np.testing.assert_allclose(kept[OWN], (0.5 * gradients[0] + 0.25 * gradients[1]) / 0.75, rtol=1e-6)


def test_buffers_that_are_not_there_yet_are_zeros() -> None:
    objective = stateful(ObjectiveConfig("control_variates"))
    assert objective is not None
    found = whole_buffers(objective, {OWN: f32(1, 2)}, f32(7, 7))
    assert {name: buffer.tolist() for name, buffer in found.items()} == {CONTROL: [0, 0], OWN: [1, 2]}
    assert stateful(ObjectiveConfig("proximal")) is stateful(None) is None


# In a stage.

PLAIN = {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant", "warmup_fraction": 0.0, "weight_decay": 0.0}


@pytest.fixture
def model(gpt2_spec) -> Any:
    spec = gpt2_spec(dropout=0.0)
    return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3)


def bare_loop(model: Any, sequences: np.ndarray, task: Any, correction: np.ndarray) -> np.ndarray:
    """A client of SCAFFOLD as one would write it without raysim."""
    batches = Batches(task.seed, len(sequences), task.settings.batch_size)
    weights, model = flatten(model), model.train()
    for step in range(task.epochs * batches.per_epoch):
        assign(model, weights)
        ids = torch.tensor(sequences[batches.rows(step)], dtype=torch.long)
        gradients = torch.autograd.grad(next_token_loss(model, ids, task.settings), trainable(model))
        g = np.concatenate([one.numpy().ravel() for one in gradients]) + correction
        clipped = g * min(1.0, task.settings.gradient_clip / np.linalg.norm(g))
        weights = np.subtract(weights, 0.1 * clipped, dtype=np.float32)
    return weights


@pytest.mark.parametrize(("backend", "clip"), [("torch", 1e9), ("torch", 0.5), ("deepspeed", 1e9)])
def test_a_stage_equals_a_bare_loop_and_resumes(
    model: Any, sequences: np.ndarray, make_task: Any, backend: str, clip: float
) -> None:
    start = flatten(model)
    generator = np.random.Generator(np.random.Philox(9))
    buffers = {name: 0.01 * generator.standard_normal(start.size, np.float32) for name in (CONTROL, OWN)}
    task = make_task(
        backend=backend, gradient_clip=clip, objective=ObjectiveConfig("control_variates"), checkpoint_every_s=0.0,
        **PLAIN,
    )  # fmt: skip
    trainer = (DeepSpeedTrainer if backend == "deepspeed" else TorchTrainer)(model)

    def train(resume: Any = None) -> list[Any]:
        request = make_request(task, sequences, start, resume=resume)
        return list(trainer.train(dataclasses.replace(request, objective_buffers=buffers)))

    *events, update = train()
    assert isinstance(update, Update)
    assign(model, start)
    expected = bare_loop(model, sequences, task, buffers[CONTROL] - buffers[OWN])
    np.testing.assert_allclose(update.weights, expected, atol=2e-6)
    assert np.abs(expected - start).max() > 1e-3
    kept = buffers[OWN] - buffers[CONTROL] + (start - expected) / update.metrics["learning_rate_sum"]
    np.testing.assert_allclose(update.objective_state[OWN], kept, atol=1e-5)
    middle = [event.state for event in events if isinstance(event, ResumeState)][2]
    resumed = train(middle)[-1]
    assert np.array_equal(resumed.weights, update.weights)
    assert np.array_equal(resumed.objective_state[OWN], update.objective_state[OWN])


def test_zero_has_nothing_to_shard_of_plain_steps() -> None:
    zero = {"backend": "deepspeed", "optimizer": "sgd", "deepspeed": {"zero_optimization": {"stage": 1}}}
    with pytest.raises(InputError, match="optimizer: sgd keeps nothing that ZeRO stage 1 could shard"):
        validate(TrainerSettings, zero, "x.yaml")
