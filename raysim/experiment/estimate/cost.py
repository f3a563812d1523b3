"""What a run will cost, before it starts: from its plan and from how fast this machine multiplies matrices."""

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from raysim.core.keys import Key
from raysim.experiment.estimate.duration import EFFICIENCY, duration
from raysim.experiment.estimate.timings import Timing, Workload
from raysim.measures.base import PlannedEvaluation
from raysim.measures.evaluation_plan import measured_models
from raysim.measures.generation import models_per_job
from raysim.simulation.planner import Plan
from raysim.store.retention import Retention, StoreSettings


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
    plan: Plan,
    evaluations: Mapping[Key, PlannedEvaluation],
    ahead: Workload,
    log: Sequence[Timing],
    rate: float,
    slots: int,
    store: StoreSettings,
) -> dict[str, Any]:
    """Hours and bytes of the pending work.

    Args:
        plan: of the run.
        evaluations: work on its models.
        ahead: what is not in the store.
        log: what runs took on this machine.
        rate: FLOP/s of matrix products of one slot.
        slots: at work at once.
        store: what stays in the store, and what is written.
    """
    trained, time_ahead = ahead.trained, duration(ahead, log, rate)
    peak, end = footprint(plan, evaluations, store, slots, models_per_job(trained))
    return {
        "parameters": ahead.parameters,
        "trained_parameters": trained,
        "tokens": dict(ahead.tokens),
        "hours": round(time_ahead.seconds / 3600, 4),
        "seconds": {name: round(seconds, 1) for name, seconds in time_ahead.phases.items()},
        "work_seconds": {kind: round(seconds, 1) for kind, seconds in time_ahead.kinds.items()},
        "runs_in_log": time_ahead.runs,
        "keep": store.keep,
        "bytes": 4 * trained * end,
        "peak_bytes": 4 * trained * peak,
        "assumed_flop_per_s": round(rate * EFFICIENCY * slots),
        "models": ahead.models,
    }


def footprint(
    plan: Plan, evaluations: Mapping[Key, PlannedEvaluation], store: StoreSettings, slots: int, wave: int
) -> tuple[int, int]:
    """Flat buffers of the size of the model that the store holds at most, and when the run has ended.

    Walks the plan, one piece of work after the other, and evicts what `store` evicts. To the most that lie there at
    once it adds what `slots` stages side by side may hold beyond that: a checkpoint of three buffers each, and the
    models of as many branches.

    Args:
        plan: of the run.
        evaluations: work on its models.
        store: what stays in the store, and what is written.
        slots: stages at once.
        wave: models that are probed together.
    """
    of_model: dict[Key, list[Key]] = {}
    for key, planned in evaluations.items():
        of_model.setdefault(planned.recipe["weights"], []).append(key)
    recipes = {**plan.recipes, **{key: planned.recipe for key, planned in evaluations.items()}}
    models = measured_models(plan, evaluations)
    retention = Retention(store.keep, recipes, plan.leaves, models=models, write=store.write)
    present: dict[Key, int] = {}
    waiting: list[Key] = []
    peak = 0

    def end(work: Key) -> None:
        for unused in retention.ended(work):
            present.pop(unused, None)

    def probe() -> None:
        for work in waiting:
            end(work)
        waiting.clear()

    # Snapshots are models without a recipe of their own; they come with their stage.
    made = {**plan.buffers, **{model: 1 for model in of_model if model not in plan.buffers}}
    for model, buffers in made.items():
        present[model] = 0 if retention.in_passing(model) else buffers
        peak = max(peak, sum(present.values()))
        end(model)
        for work in of_model.get(model, ()):
            if evaluations[work].batched:
                waiting.append(work)
            else:
                end(work)
        if len({evaluations[work].recipe["weights"] for work in waiting}) >= wave:
            probe()
    probe()
    beside = 3 * slots + (0 if store.keep == "all" else (slots - 1) * max(made.values(), default=0) * 2)
    return peak + beside, sum(present.values())
