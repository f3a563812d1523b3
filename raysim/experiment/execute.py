"""Performs an experiment: trains and measures everything that it leads to, whatever the store has already."""

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path

from raysim.cluster.actor_pool import ActorPool
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.estimate.cost import footprint
from raysim.experiment.observer import RunObserver
from raysim.experiment.plan import RunPlan
from raysim.measures.evaluator import Evaluator
from raysim.measures.memorization.measure import models_per_job
from raysim.simulation.executor import TrainingExecutor
from raysim.simulation.loop import simulate
from raysim.store.retention import Keep, Retention
from raysim.store.store import Store
from raysim.store.task_log import TaskLog
from raysim.tasks.executor import TaskExecutor


@dataclass(frozen=True)
class ExecutedRun:
    """What was reached, measured and used."""

    runner: TrainingExecutor
    measurer: Evaluator
    executor: TaskExecutor


async def perform(
    loaded: LoadedExperiment,
    run_plan: RunPlan,
    pool: ActorPool,
    store: Store,
    retention: Retention,
    log: Path,
    secret_file: Path,
    observer: RunObserver,
) -> ExecutedRun:
    """Trains every stage and measures every model that `run_plan` shows.

    Args:
        loaded: the experiment.
        run_plan: what is ahead.
        pool: does it.
        store: where results lie.
        retention: of arrays in the store.
        log: the stage log.
        secret_file: holds the key of line hashes; made if it is not there.
        observer: is told for people.

    Raises:
        RunError: it could not go on.
    """
    setup, experiment = run_plan.setup, loaded.experiment
    executor = TaskExecutor(store, pool, retention, TaskLog(log), uuid.uuid4().hex[:8], observer)
    measurer = Evaluator(loaded, setup, executor, pool.slots.count, secret_file, in_waves=retention.bounded)
    runner = TrainingExecutor(
        executor,
        run_plan.plan.urgency(),
        experiment.execution.checkpoint_every_s,
        measurer.wants_epochs,
        measurer.take,
    )
    observer.phase("Training")
    if run_plan.pending["train"]:
        initial = await runner.initial(setup.strategy_runs[0].context)
        _warn_of_disk(run_plan, initial.info["parameters"], experiment.store.keep, pool.slots.count, store, observer)
    try:
        await _all(simulate(strategy_run, runner) for strategy_run in setup.strategy_runs)
        if experiment.measure.memorization:
            observer.phase("Probing for memorization")
        await measurer.finish()
    except BaseException:
        measurer.abandon()
        raise
    return ExecutedRun(runner, measurer, executor)


def _warn_of_disk(
    run_plan: RunPlan, parameters: int, keep: Keep, slots: int, store: Store, observer: RunObserver
) -> None:
    """Says beforehand if the disk will not hold the store; what is there already counts as free."""
    measures = {key: measure.recipe for key, measure in run_plan.measures.items()}
    peak, _ = footprint(run_plan.plan, measures, keep, slots, models_per_job(parameters))
    there = sum(entry.num_bytes() for key in run_plan.plan.recipes if (entry := store.peek(key)))
    needed, free = 4 * parameters * peak - there, shutil.disk_usage(store.folder).free
    if needed > free:
        observer.note(
            f"the store will grow by up to {needed / 1e9:,.2f} GB, and {store.folder} has {free / 1e9:,.2f} GB left;"
            " with store.keep: leaves or metrics it needs less (raysim plan says how much)"
        )


async def _all(awaitables: Iterable[Awaitable[None]]) -> None:
    """Waits for all; the first failure stops the rest and is raised."""
    tasks = [asyncio.ensure_future(a) for a in awaitables]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
