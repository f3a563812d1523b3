"""Performs an experiment: trains and measures everything that it leads to, whatever the store has already."""

import asyncio
import uuid
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path

from raysim.experiment import LoadedExperiment
from raysim.measure import Measurer
from raysim.outlook import Outlook
from raysim.probing import models_per_job
from raysim.progress import ConsoleObserver
from raysim.simulation.crew import Crew
from raysim.simulation.loop import simulate
from raysim.simulation.retention import Retention
from raysim.simulation.runner import Runner
from raysim.simulation.stagelog import StageLog
from raysim.simulation.store import Store
from raysim.simulation.workshop import Workshop


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
    wave = models_per_job(assembly.instances[0].world.spec.count_parameters()) if retention.bounded else None
    measurer = Measurer(loaded, assembly, workshop, crew.slots.count, secret_file, wave)
    runner = Runner(
        workshop,
        outlook.plan.urgency(),
        experiment.execution.checkpoint_every_s,
        measurer.wants_epochs,
        measurer.take,
    )
    observer.phase("Training")
    try:
        await _all(simulate(instance, runner) for instance in assembly.instances)
        if experiment.measure.memorization:
            observer.phase("Probing for memorization")
        await measurer.finish()
    except BaseException:
        measurer.abandon()
        raise
    return Performance(runner, measurer, workshop)


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
