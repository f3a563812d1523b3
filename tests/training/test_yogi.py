"""Yogi against hand-computed steps and against a loop over numbers that follows the paper."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from raysim.training.yogi import Yogi


def parameter(values: list[float]) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(values))


def gradients(count: int, *shapes: tuple[int, ...]) -> Iterator[list[np.ndarray]]:
    """Some that grow and shrink, so that second moments do; a few are zero."""
    generator = np.random.Generator(np.random.Philox(3))
    for step in range(count):
        scale = 2.0 if step % 7 < 3 else 0.05
        drawn = [generator.normal(size=shape) * scale * (generator.random(shape) > 0.2) for shape in shapes]
        yield [array.astype(np.float32) for array in drawn]


def test_first_step_of_yogi() -> None:
    """Without their bias the moments are g and g^2: a step of rate g / (|g| + epsilon), beside what decays."""
    x = parameter([1.0, -2.0, 3.0])

    def closure() -> float:
        (x * torch.tensor([0.5, -4.0, 0.0])).sum().backward()
        return 7.0

    assert Yogi([x], lr=0.1, eps=0.5, weight_decay=0.1).step(closure) == 7.0
    # 1 * 0.99 - 0.1 * 0.5 / 1; -2 * 0.99 + 0.1 * 4 / 4.5; 3 * 0.99
    assert x.tolist() == pytest.approx([0.94, -1.8911111, 2.97])


def test_second_moment_of_yogi_moves_by_a_share_of_the_squared_gradient() -> None:
    """Adam's would be 0.5, 0.255, 2.1275."""
    x = parameter([1.0])
    optimizer = Yogi([x], lr=0.1, betas=(0.9, 0.5))
    found = []
    for gradient in (1.0, 0.1, 2.0):
        x.grad = torch.tensor([gradient])
        optimizer.step()
        found += optimizer.state[x]["exp_avg_sq"].tolist()
    assert found == pytest.approx([0.5, 0.495, 2.495])  # 0.5 - 0.5 * 0.01; 0.495 + 0.5 * 4


def test_yogi_against_a_loop_over_numbers() -> None:
    """Algorithm 2 of the paper, number by number; the second parameter misses some steps, and the rate changes."""
    shapes, (beta1, beta2), epsilon, decay = [(3, 4), (5,)], (0.8, 0.9), 1e-3, 0.2
    parameters = [torch.nn.Parameter(torch.full(shape, 0.5)) for shape in shapes]
    optimizer = Yogi(
        [{"params": parameters[:1], "weight_decay": decay}, {"params": parameters[1:]}],
        lr=1.0, betas=(beta1, beta2), eps=epsilon,
    )  # fmt: skip
    x, m, v, t = ([[start] * math.prod(s) for s in shapes] for start in (0.5, 0.0, 0.0, 0))
    for step, given in enumerate(gradients(40, *shapes)):
        rate = 0.1 / (1 + step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for number, (p, array) in enumerate(zip(parameters, given, strict=True)):
            p.grad = None
            if number == 1 and step % 5 == 2:
                continue
            p.grad = torch.from_numpy(array)
            for i, g in enumerate(array.reshape(-1).tolist()):
                t[number][i] += 1
                m[number][i] = beta1 * m[number][i] + (1 - beta1) * g
                v[number][i] -= (1 - beta2) * np.sign(v[number][i] - g * g) * g * g
                unbiased_m = m[number][i] / (1 - beta1 ** t[number][i])
                unbiased_v = v[number][i] / (1 - beta2 ** t[number][i])
                x[number][i] -= rate * (decay if number == 0 else 0) * x[number][i]
                x[number][i] -= rate * unbiased_m / (math.sqrt(unbiased_v) + epsilon)
        optimizer.step()
    for number, p in enumerate(parameters):
        assert p.detach().reshape(-1).tolist() == pytest.approx(x[number], rel=1e-4, abs=1e-6)
        assert optimizer.state[p]["exp_avg_sq"].reshape(-1).tolist() == pytest.approx(v[number], rel=1e-4)
