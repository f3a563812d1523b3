import numpy as np
import torch

from raysim.core.settings import Settings
from raysim.training.control_variates import CONTROL, OWN, ControlVariates
from raysim.training.objectives import AppliedObjective, ObjectiveConfig, stateful, whole_buffers


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
