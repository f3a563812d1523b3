import numpy as np
import pytest
import torch

from raysim.training.objectives import AppliedObjective, ObjectiveConfig


@pytest.mark.parametrize("mu", [0.0, 0.5])
def test_steps_on_a_quadratic_are_those_by_hand(mu: float) -> None:
    """Twenty gradient steps on 3 / 2 |w - b|^2, away from where they began; the first has no pull yet."""
    start, goal = np.array([1, -2, 0.5], np.float32), torch.tensor([2.0, 5.0, -1.0])
    w = torch.nn.Parameter(torch.from_numpy(start.copy()))
    applied = AppliedObjective(ObjectiveConfig("proximal", {"mu": mu}), [w], start)
    expected = start.astype(np.float64)
    for _ in range(20):
        loss = applied.add_to(1.5 * (w - goal).square().sum())
        w.grad = None
        loss.backward()
        applied.correct_gradients()
        with torch.no_grad():
            w -= 0.1 * w.grad  # type: ignore[operator]
        expected -= 0.1 * (3 * (expected - goal.numpy()) + mu * (expected - start))
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-5)


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    w = torch.nn.Parameter(torch.ones(2))
    AppliedObjective(ObjectiveConfig("proximal", {"mu": 1.0}), [w], np.zeros(2, np.float32)).correct_gradients()
    assert w.grad is None
