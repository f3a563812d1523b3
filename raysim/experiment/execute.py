"""Performs an experiment: trains and measures everything that it leads to, whatever the store has already."""

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from raysim.cluster.actor_pool import ActorPool
from raysim.core.errors import RunError
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.estimate.cost import footprint
from raysim.experiment.observer import RunObserver
from raysim.experiment.plan import RunPlan
from raysim.experiment.setup import eval_context
from raysim.measures.evaluator import Evaluator
from raysim.measures.generation import models_per_job
from raysim.measures.validation import validation_tasks
from raysim.simulation.executor import TrainingExecutor
from raysim.simulation.loop import simulate
from raysim.simulation.validated_rounds import ValidatedRounds
from raysim.store.retention import Retention, StoreSettings
from raysim.store.store import Store
from raysim.store.task_log import TaskLog
from raysim.tasks.executor import TaskExecutor


@dataclass(frozen=True)
class ExecutedRun:
    """What was reached, measured and used."""

    trainer: TrainingExecutor
    validated: ValidatedRounds
    evaluator: Evaluator
    executor: TaskExecutor


async def execute(
    loaded: LoadedExperiment,
    run_plan: RunPlan,
    pool: ActorPool,
    store: Store,
    retention: Retention,
    log: Path,
    secret: bytes,
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
        secret: key of line hashes.
        observer: receives progress.

    Raises:
        RunError: it could not go on.
    """
    setup, experiment = run_plan.setup, loaded.experiment
    executor = TaskExecutor(store, pool, retention, TaskLog(log), uuid.uuid4().hex[:8], observer)
    evaluator = Evaluator(
        loaded.measures,
        eval_context(loaded, setup),
        executor,
        pool.slots.count,
        secret,
        in_waves=retention.bounded,
        at_once=bool(experiment.alert and experiment.alert.needs_lines),
    )
    validated = ValidatedRounds(executor, validation_tasks(loaded.measures))
    trainer = TrainingExecutor(
        executor,
        run_plan.plan.urgency(),
        experiment.execution.checkpoint_every_s,
        lambda organizations: any(measure.after_epochs(organizations) for measure in loaded.measures),
        evaluator.take,
        validated,
    )
    observer.phase("Training")
    if run_plan.pending["train"]:
        initial = await trainer.initial(setup.strategy_runs[0].context)
        size = initial.info["parameters"] + initial.info.get("carried", 0)
        _warn_of_disk(run_plan, size, experiment.store, pool.slots.count, store, observer)
    try:
        await evaluator.unless_failed(_all(simulate(strategy_run, trainer) for strategy_run in setup.strategy_runs))
        if evaluator.generates:
            observer.phase("Evaluating the models")
        await evaluator.finish()
        if validated.ended():
            executor.evict_left_over()
    except BaseException:
        evaluator.abandon()
        with suppress(RunError):  # there is an error already
            await executor.flush()
        raise
    return ExecutedRun(trainer, validated, evaluator, executor)


def _warn_of_disk(
    run_plan: RunPlan, parameters: int, settings: StoreSettings, slots: int, store: Store, observer: RunObserver
) -> None:
    """Says beforehand if the disk will not hold the store; what is there already counts as free."""
    peak, _ = footprint(run_plan.plan, run_plan.evaluations, settings, slots, models_per_job(parameters))
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
