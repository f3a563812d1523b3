"""Evaluates the models of a run: tasks at the organizations as models come, and generation in batch jobs."""

import asyncio
from collections.abc import Awaitable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.arrow import with_columns
from raysim.core.keys import Key
from raysim.measures.base import ClientTask, EvalContext, GenerationMeasure, Measure, scores_of
from raysim.simulation.executor import TrainedModel
from raysim.store.transfers import Transfer
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.task import Task


@dataclass
class _Queue:
    """A measure that has models generate, the models that it has taken, and those of them that wait.

    In `reached` a model is once for each setting that passes through it, by its place in the table ``models``.
    """

    measure: Measure
    generation: GenerationMeasure
    reached: dict[Hashable, TrainedModel] = field(default_factory=dict)
    taken: dict[Key, TrainedModel] = field(default_factory=dict)
    waiting: dict[Key, TrainedModel] = field(default_factory=dict)

    def is_due(self, at_once: bool) -> bool:
        """Whether models are to be asked now; `at_once`: as soon as one waits, else when a batch job is full."""
        return len(self.waiting) >= (1 if at_once else self.generation.models_at_once())


class Evaluator:
    """Evaluates what a run reaches.

    Args:
        measures: that the experiment asks for.
        context: of the run, at its first seed.
        executor: does keyed work.
        workers: of batch jobs.
        secret: key of the run's line hashes.
        in_waves: whether training pauses for generation whenever enough models wait for it; else they all wait for its
            end.
        at_once: whether it pauses for every model, whose answers are compared at once, too.
    """

    def __init__(
        self,
        measures: Sequence[Measure],
        context: EvalContext,
        executor: TaskExecutor,
        workers: int,
        secret: bytes,
        in_waves: bool,
        at_once: bool = False,
    ) -> None:
        self._measures = measures
        self._context = context
        self._executor = executor
        self._in_waves = in_waves or at_once
        self._at_once = at_once
        self._queues = [
            _Queue(measure, generation)
            for measure in measures
            if (generation := measure.generation(context, executor, workers, secret))
        ]
        self._begun: set[tuple[Key, str, bool]] = set()
        self._jobs: list[asyncio.Future[None]] = []
        self._wave: asyncio.Future[None] | None = None
        self._failed = asyncio.Event()
        self._reached: dict[Hashable, TrainedModel] = {}
        self.tables: dict[str, list[pa.Table]] = {spec.name: [] for measure in measures for spec in measure.tables}

    def take(self, model: TrainedModel) -> None:
        """Notes a model that exists now, and starts the tasks about it; `finish` waits for them.

        One that comes again turns out to be the final one.
        """
        if model.checkpoint.moment != "upload":
            self._reached[_place(model)] = model
        key, context = model.checkpoint.model, self._context.at(model.strategy_run.context)
        for measure in self._measures:
            if measure.wants(model.checkpoint):
                for task in measure.tasks(context, model.checkpoint):
                    # Organizations with the same code share the work, and have rows each.
                    if (task.key, task.organization, task.shown) not in self._begun:
                        self._begun.add((task.key, task.organization, task.shown))
                        self._start(self._run(measure, task, model))
        for queue in self._queues:
            if queue.measure.wants(model.checkpoint):
                queue.reached[_place(model)] = model
                taken = queue.taken.get(key)
                # What a client sends may be a model of another setting, too, which is asked for more.
                if taken is None or taken.checkpoint.moment == "upload" != model.checkpoint.moment:
                    queue.taken[key] = queue.waiting[key] = model
        if self._in_waves and self._due() and (self._wave is None or self._wave.done()):
            self._wave = self._start(self._generate_waves())

    async def unless_failed(self, training: Awaitable[None]) -> None:
        """Waits for `training`, but for no longer than until something that `take` has started fails, and raises that.

        Work that nobody could measure is not begun.
        """
        work = asyncio.ensure_future(training)
        failed = asyncio.ensure_future(self._failed.wait())
        try:
            await asyncio.wait([work, failed], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await asyncio.gather(*self._jobs)
            await work
        finally:
            for one in (work, failed):
                one.cancel()
            await asyncio.gather(work, failed, return_exceptions=True)

    async def finish(self) -> None:
        """Waits for all tasks, has models generate what is missing, and compares what they wrote."""
        await asyncio.gather(*self._jobs)
        for queue in self._queues:
            for name, parts in (await queue.generation.tables(queue.taken, list(queue.reached.values()))).items():
                self.tables[name] += parts

    def abandon(self) -> None:
        """Stops whatever `take` has started."""
        for job in self._jobs:
            job.cancel()

    @property
    def reached(self) -> list[TrainedModel]:
        """All models but uploads, once for each setting that passed through them."""
        return list(self._reached.values())

    @property
    def generates(self) -> bool:
        """Whether any measure has models generate."""
        return bool(self._queues)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        job = asyncio.ensure_future(work)
        job.add_done_callback(self._ended)
        self._jobs.append(job)
        return job

    def _ended(self, job: asyncio.Future[None]) -> None:
        """An error is raised where jobs are awaited; until then, nobody may be left to retrieve it."""
        if not job.cancelled() and job.exception():
            self._failed.set()

    def _due(self) -> _Queue | None:
        """A measure whose models are to be asked now."""
        return next((queue for queue in self._queues if queue.is_due(self._at_once)), None)

    async def _generate_waves(self) -> None:
        """Has waiting models generate while nothing trains: generation takes every slot."""
        while queue := self._due():
            generation = queue.generation
            wave = {key: queue.waiting.pop(key) for key in list(queue.waiting)[: generation.models_at_once()]}
            tasks = await generation.look_up(wave)
            # Before it holds the slots, of which making evicted arrays again takes one.
            missing = dict.fromkeys(model for (model, _), task in tasks.items() if task.entry is None)
            await self._executor.rematerialize(*missing)
            async with self._executor.pool.slots.acquire_all(float("inf")):
                await generation.generate(tasks)
                if self._at_once:
                    await generation.compare(wave, tasks)

    async def _pooled_sequences(self, task: ClientTask) -> dict[str, npt.NDArray[np.int32]]:
        """What other organizations share for a task; nothing where the store has its result."""
        if not task.pooled or await self._executor.cached(task.key):
            return {}
        pool = self._executor.pool
        parts = await asyncio.gather(*(pool.call(name, "share_sequences") for name in task.pooled))
        return dict(zip(task.pooled, parts, strict=True))

    async def _run(self, measure: Measure, task: ClientTask, model: TrainedModel) -> None:
        """Runs a task about `model`, or about none, and keeps its table."""
        about = f"{task.about} of {task.organization}"
        label = f"{model.name} on {about}" if task.reads_model else f"{about}, without a model"
        pooled = await self._pooled_sequences(task)
        given = tuple(
            Transfer.of(name, task.organization, "sequences", part.tobytes()) for name, part in pooled.items()
        )
        arguments, tokens = (*task.arguments, *pooled.values()), task.tokens
        entry = await self._executor.run_on_client(
            Task(task.recipe, label, task.organization, task.function, arguments, tokens, given)
        )
        if not task.shown:
            return
        names = {**task.columns, **({"model": model.checkpoint.model} if task.reads_model else {})}
        found = with_columns(entry.table(task.table), **names, organization=task.organization)
        self.tables[task.table].append(found)
        if task.reads_model and (scores := measure.scores(task, entry.table(task.table))):
            self._executor.observer.measured(scores_of(model, task.organization, scores))


def _place(model: TrainedModel) -> Hashable:
    checkpoint = model.checkpoint
    return model.strategy_run, checkpoint.moment, checkpoint.index, checkpoint.last
