import math

import pytest
import torch
import transformers

from raysim.training.schedule import Schedule, rate_at


def rates(schedule: Schedule, warmup: float = 0.2, horizon: int = 10) -> list[float]:
    return [rate_at(step, horizon, 8.0, warmup, schedule) for step in range(horizon + 3)]


def test_cosine() -> None:
    # Two steps of warm-up, then eight eighths of half a cosine; behind the horizon it stays at zero.
    half = [4 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    assert rates("cosine") == pytest.approx([4.0, 8.0, *half, 0.0, 0.0, 0.0])
    assert rates("cosine")[2:7:2] == pytest.approx([8.0, 6.8284271, 4.0])


def test_linear() -> None:
    assert rates("linear") == pytest.approx([4, 8, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0])


def test_constant() -> None:
    assert rates("constant") == pytest.approx([4] + [8] * 12)


def test_alternating_is_a_cosine_whose_horizon_is_minus_one() -> None:
    """As the study's scripts ask transformers for it, with no step to optimize."""
    assert rates("alternating") == pytest.approx([4, 8, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=8.0)
    scheduler = transformers.get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=2, num_training_steps=-1)
    theirs = []
    for _ in range(13):
        theirs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    # Theirs begins its warm-up at zero, ours a step later.
    assert theirs[2:] == pytest.approx(rates("alternating")[2:])


def test_no_warmup_starts_at_the_peak() -> None:
    assert rates("linear", warmup=0)[:3] == pytest.approx([8, 7.2, 6.4])


def test_warmup_alone() -> None:
    assert rates("cosine", warmup=1, horizon=4) == pytest.approx([2, 4, 6, 8, 8, 0, 0])


def test_one_step() -> None:
    assert rate_at(0, 1, 8.0, 0.05, "cosine") == 8.0


def test_the_study() -> None:
    """2,000 steps of warm-up of 40,000, peak 5e-4."""
    at = [rate_at(step, 40_000, 5e-4, 0.05, "cosine") for step in (0, 999, 1999, 2000, 21_000, 39_999)]
    assert at == pytest.approx([2.5e-7, 2.5e-4, 5e-4, 5e-4, 2.5e-4, 8.5e-13], rel=1e-2)
