"""Optimizers against hand-computed steps and against loops over numbers that follow the papers."""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
import torch

from raysim.training.optimizers import begin_state, export_state, make_optimizer, state_floats, state_shapes
from raysim.training.request import TrainerSettings

Name = Literal["adamw", "adafactor", "yogi"]
OPTIMIZERS: tuple[Name, ...] = ("adamw", "adafactor", "yogi")


class Two(torch.nn.Module):
    """A matrix and a vector."""

    def __init__(self, matrix: list[list[float]], vector: list[float]) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.tensor(matrix))
        self.vector = torch.nn.Parameter(torch.tensor(vector))


def parameter(values: list[float]) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(values))


def gradients(count: int, *shapes: tuple[int, ...]) -> Iterator[list[np.ndarray]]:
    """Some that grow and shrink, so that second moments do; a few are zero."""
    generator = np.random.Generator(np.random.Philox(3))
    for step in range(count):
        scale = 2.0 if step % 7 < 3 else 0.05
        drawn = [generator.normal(size=shape) * scale * (generator.random(shape) > 0.2) for shape in shapes]
        yield [array.astype(np.float32) for array in drawn]


# Adafactor: what the settings mean to torch's.


def test_first_step_of_adafactor() -> None:
    """The update is g over its own size, so 1; its length is the rate times the root mean square of the weights."""
    model = Two([[1.0, 1.0]], [2.0, 2.0])
    optimizer = make_optimizer(model, TrainerSettings(optimizer="adafactor", learning_rate=0.1, weight_decay=0.5))
    model.matrix.grad, model.vector.grad = torch.tensor([[3.0, -4.0]]), torch.tensor([3.0, -4.0])
    optimizer.step()
    # The matrix has decayed by 0.1 * 0.5.
    assert model.matrix.tolist()[0] == pytest.approx([0.95 - 0.1, 0.95 + 0.1])
    assert model.vector.tolist() == pytest.approx([2 - 0.2, 2 + 0.2])
    assert optimizer.state[model.matrix]["row_var"].tolist()[0] == pytest.approx([12.5])
    assert optimizer.state[model.matrix]["col_var"].tolist()[0] == pytest.approx([9, 16])


def test_adafactor_against_arrays() -> None:
    """Shazeer & Stern 2018, Algorithm 4: a rate over 1 / sqrt(t) is cut to that, updates to a root mean square of 1."""
    model = Two([[0.5, -0.25, 1.0], [2.0, 0.125, -1.0]], [1.0, -3.0])
    optimizer = make_optimizer(model, TrainerSettings(optimizer="adafactor", learning_rate=0.3, weight_decay=0.0))
    x, y = (p.detach().numpy().astype(np.float64) for p in (model.matrix, model.vector))
    rows, columns, variance = np.zeros((2, 1)), np.zeros((1, 3)), np.zeros(2)

    def rms(array: np.ndarray) -> float:
        return float(np.sqrt(np.mean(array**2)))

    for t, (g, h) in enumerate(gradients(20, (2, 3), (2,)), start=1):
        model.matrix.grad, model.vector.grad = torch.from_numpy(g), torch.from_numpy(h)
        optimizer.step()
        beta, rate = 1 - t**-0.8, min(0.3, 1 / math.sqrt(t))
        rows = beta * rows + (1 - beta) * (g.astype(np.float64) ** 2).mean(1, keepdims=True)
        columns = beta * columns + (1 - beta) * (g.astype(np.float64) ** 2).mean(0, keepdims=True)
        variance = beta * variance + (1 - beta) * h.astype(np.float64) ** 2
        for weights, gradient, second in ((x, g, rows @ columns / rows.mean()), (y, h, variance)):
            update = gradient / np.maximum(np.sqrt(second), np.finfo(np.float32).eps)
            weights -= rate * max(1e-3, rms(weights)) * update / max(1.0, rms(update))
    assert model.matrix.detach().numpy() == pytest.approx(x, rel=1e-4)
    assert model.vector.detach().numpy() == pytest.approx(y, rel=1e-4)


def test_plain_steps_by_hand_with_decay_on_matrices_alone() -> None:
    model = Two([[1.0, -2.0]], [2.0, 4.0])
    settings = TrainerSettings(optimizer="sgd", learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(model, settings)
    for _ in range(2):
        model.matrix.grad, model.vector.grad = torch.tensor([[3.0, -4.0]]), torch.tensor([3.0, -4.0])
        optimizer.step()
    assert model.matrix.tolist()[0] == pytest.approx([0.95 * (0.95 - 0.3) - 0.3, 0.95 * (-1.9 + 0.4) + 0.4])
    assert model.vector.tolist() == pytest.approx([2 - 0.6, 4 + 0.8])
    assert export_state(optimizer, settings, [model.matrix, model.vector]) == {}
    assert state_floats(settings, [(2, 3), (2,)]) == 0
    recipe = settings.recipe()
    assert recipe["optimizer"] == "sgd"
    assert not {"adam_betas", "adam_epsilon"} & recipe.keys()


# What they keep.


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_keeps_what_is_said_of_it(name: Name) -> None:
    """After a step as in a state that was begun for it, and as far as places in memory go."""
    settings = TrainerSettings(optimizer=name)
    model = Two([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [7.0])
    parameters = [model.matrix, model.vector]
    optimizer = make_optimizer(model, settings)
    before = export_state(optimizer, settings, parameters)
    assert not any(array.any() for array in before.values())
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()
    begun = make_optimizer(model, settings)
    begin_state(begun, settings, parameters, 1)
    for p in parameters:
        state = optimizer.state[p]
        assert {k: tuple(t.shape) for k, t in state.items() if k != "step"} == state_shapes(settings, tuple(p.shape))
        assert {k: (t.shape, t.dtype, t.stride()) for k, t in state.items()} == {
            k: (t.shape, t.dtype, t.stride()) for k, t in begun.state[p].items()
        }
        assert state["step"] == begun.state[p]["step"]
    after = export_state(optimizer, settings, parameters)
    assert {k: a.shape for k, a in before.items()} == {k: a.shape for k, a in after.items()}
    assert sum(a.size for a in after.values()) == state_floats(settings, [(3, 2), (1,)])


def test_numbers_that_optimizers_keep() -> None:
    shapes = [(4, 6), (6,), (2, 3, 5)]
    kept = {name: state_floats(TrainerSettings(optimizer=name), shapes) for name in OPTIMIZERS}
    assert kept == {"adamw": 2 * 60, "adafactor": (4 + 6) + 6 + 2 * (3 + 5), "yogi": 2 * 60}
