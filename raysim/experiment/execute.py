"""Performs an experiment: trains and measures everything that it leads to, whatever the store has already."""

import asyncio
import shutil
import signal
import uuid
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path

from raysim.cli.progress import ConsoleObserver
from raysim.cluster.actor_pool import Crew
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.estimate.cost import footprint
from raysim.experiment.plan import Outlook
from raysim.measures.evaluator import Measurer
from raysim.measures.memorization.measure import models_per_job
from raysim.simulation.executor import Runner
from raysim.simulation.loop import simulate
from raysim.store.retention import Keep, Retention
from raysim.store.store import Store
from raysim.store.task_log import StageLog
from raysim.tasks.executor import Workshop


@dataclass(frozen=True)
class Performance:
    """What was reached, measured and used."""

    runner: Runner
    measurer: Measurer
    workshop: Workshop


async def perform(
    loaded: LoadedExperiment,
    outlook: Outlook,
    crew: Crew,
    store: Store,
    retention: Retention,
    log: Path,
    secret_file: Path,
    observer: ConsoleObserver,
) -> Performance:
    """Trains every stage and measures every model that `outlook` shows.

    Args:
        loaded: the experiment.
        outlook: what is ahead.
        crew: does it.
        store: where results lie.
        retention: of arrays in the store.
        log: the stage log.
        secret_file: holds the key of line hashes; made if it is not there.
        observer: is told for people.

    Raises:
        RunError: it could not go on.
    """
    assembly, experiment = outlook.assembly, loaded.experiment
    workshop = Workshop(store, crew, retention, StageLog(log), uuid.uuid4().hex[:8], observer)
    measurer = Measurer(loaded, assembly, workshop, crew.slots.count, secret_file, in_waves=retention.bounded)
    runner = Runner(
        workshop,
        outlook.plan.urgency(),
        experiment.execution.checkpoint_every_s,
        measurer.wants_epochs,
        measurer.take,
    )
    observer.phase("Training")
    if outlook.pending["train"]:
        initial = await runner.initial(assembly.instances[0].world)
        _warn_of_disk(outlook, initial.info["parameters"], experiment.store.keep, crew.slots.count, store, observer)
    try:
        await _all(simulate(instance, runner) for instance in assembly.instances)
        if experiment.measure.memorization:
            observer.phase("Probing for memorization")
        await measurer.finish()
    except BaseException:
        measurer.abandon()
        raise
    return Performance(runner, measurer, workshop)


def _warn_of_disk(
    outlook: Outlook, parameters: int, keep: Keep, slots: int, store: Store, observer: ConsoleObserver
) -> None:
    """Says beforehand if the disk will not hold the store; what is there already counts as free."""
    measures = {key: measure.recipe for key, measure in outlook.measures.items()}
    peak, _ = footprint(outlook.plan, measures, keep, slots, models_per_job(parameters))
    there = sum(entry.num_bytes() for key in outlook.plan.recipes if (entry := store.peek(key)))
    needed, free = 4 * parameters * peak - there, shutil.disk_usage(store.folder).free
    if needed > free:
        observer.note(
            f"the store will grow by up to {needed / 1e9:,.2f} GB, and {store.folder} has {free / 1e9:,.2f} GB left;"
            " with store.keep: leaves or metrics it needs less (raysim plan says how much)"
        )


def stop_on_sigterm() -> None:
    """Has a scheduler's SIGTERM end this task as a Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None, "it runs in one"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


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
