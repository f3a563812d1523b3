import numpy as np
import torch

from raysim.training.objectives import AppliedObjective, ObjectiveConfig, make_objective


def test_steps_on_a_quadratic_climb_as_by_hand() -> None:
    """Five gradient steps on |w - b|^2: the distance to b grows by a factor of 1.2 in each."""
    start, goal = np.array([1, -2, 0.5], np.float32), torch.tensor([2.0, 5.0, -1.0])
    w, unused = torch.nn.Parameter(torch.from_numpy(start.copy())), torch.nn.Parameter(torch.ones(1))
    applied = AppliedObjective(ObjectiveConfig("ascent"), [w, unused], np.append(start, np.float32(1)))
    for _ in range(5):
        w.grad = None
        applied.add_to((w - goal).square().sum()).backward()
        applied.correct_gradients()
        with torch.no_grad():
            w -= 0.1 * w.grad  # type: ignore[operator]
    expected = goal.numpy() + 1.2**5 * (start - goal.numpy())
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-5)
    assert unused.grad is None


def test_its_recipe_has_a_version() -> None:
    assert make_objective(ObjectiveConfig("ascent")).recipe() == {"version": 1}
