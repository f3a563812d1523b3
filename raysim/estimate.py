"""What a run will cost, before it starts: from its plan and from how fast this machine multiplies matrices."""

import functools
import time
from collections.abc import Mapping
from typing import Any

from raysim.simulation.planner import Plan

_EFFICIENCY = 0.35
"""Share of the matrix-multiplication rate that training reaches. Measured in this project: 0.3 to 0.5 on CPUs."""

_FLOP_PER_PARAMETER = {"train": 6, "losses": 2, "generate": 4}
"""FLOP a token and parameter; Kaplan et al. 2020 (arXiv 2001.08361); generation takes twice its two, in small steps."""


@functools.cache
def matmul_rate(precision: str, threads: int, seconds: float = 0.3) -> float:
    """FLOP/s of square float matrix products of this machine's CPU, measured once."""
    import torch

    torch.set_num_threads(threads)
    size = 768
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.ones(size, size, dtype=dtype)
    torch.mm(a, a)
    count, started_s = 0, time.monotonic()
    while time.monotonic() - started_s < seconds:
        torch.mm(a, a)
        count += 1
    return count * 2 * size**3 / (time.monotonic() - started_s)


def estimate(
    plan: Plan, parameters: int, pending_tokens: Mapping[str, int], rate: float, slots: int, entries: Mapping[str, int]
) -> dict[str, Any]:
    """Hours and bytes of the pending work.

    Args:
        plan: of the run.
        parameters: of the model.
        pending_tokens: of each kind of work that is not in the store.
        rate: FLOP/s of matrix products of one slot.
        slots: at work at once.
        entries: number of sets of weights, and of optimizer states, that the store will hold.
    """
    flop = sum(_FLOP_PER_PARAMETER[kind] * parameters * tokens for kind, tokens in pending_tokens.items())
    per_set = 4 * parameters
    return {
        "parameters": parameters,
        "tokens": dict(pending_tokens),
        "hours": round(flop / (rate * _EFFICIENCY * slots) / 3600, 4),
        "bytes": per_set * entries["weights"] + 2 * per_set * entries["client_states"],
        "assumed_flop_per_s": round(rate * _EFFICIENCY * slots),
        "models": len({model.milestone.model for model in plan.models}),
    }
