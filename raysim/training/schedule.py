"""Learning-rate schedules: pure functions of the step, with a declared horizon."""

import math
from typing import Literal

Schedule = Literal["cosine", "linear", "constant", "alternating"]


def rate_at(step: int, horizon_steps: int, peak: float, warmup_fraction: float, schedule: Schedule) -> float:
    """The learning rate of optimizer step `step` (from 0) of `horizon_steps`.

    Linear warm-up over ``round(warmup_fraction * horizon_steps)`` steps, then a half cosine or a line down to zero at
    the horizon (Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts), or constant. Past the horizon it stays
    at the end. `alternating` is peak and zero in turn: a cosine whose horizon was given as -1 steps, as the study's
    scripts have it, in which half a cosine takes one step.
    """
    warmup_steps = round(warmup_fraction * horizon_steps)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule == "constant":
        return peak
    if schedule == "alternating":
        return peak * (1 - (step - warmup_steps) % 2)
    progress = min(1.0, (step - warmup_steps) / max(1, horizon_steps - warmup_steps))
    return peak * (0.5 * (1 + math.cos(math.pi * progress)) if schedule == "cosine" else 1 - progress)
