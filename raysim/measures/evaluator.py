"""Evaluates the models of a run: tasks at the organizations as models come, and generation in batch jobs."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.arrow import with_columns
from raysim.core.keys import Key
from raysim.measures.base import ClientTask, EvalContext, GenerationMeasure, Measure
from raysim.simulation.executor import TrainedModel
from raysim.store.transfers import Transfer
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.task import Task


@dataclass
class _Queue:
    """A measure that has models generate, the models that it has taken, and those of them that wait."""

    measure: Measure
    generation: GenerationMeasure
    taken: dict[Key, TrainedModel] = field(default_factory=dict)
    waiting: dict[Key, TrainedModel] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return len(self.waiting) >= self.generation.models_at_once()


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
    """

    def __init__(
        self,
        measures: Sequence[Measure],
        context: EvalContext,
        executor: TaskExecutor,
        workers: int,
        secret: bytes,
        in_waves: bool,
    ) -> None:
        self._measures = measures
        self._context = context
        self._executor = executor
        self._in_waves = in_waves
        self._queues = [
            _Queue(measure, generation)
            for measure in measures
            if (generation := measure.generation(context, executor, workers, secret))
        ]
        self._begun: set[tuple[Key, str]] = set()
        self._jobs: list[asyncio.Future[None]] = []
        self._wave: asyncio.Future[None] | None = None
        self.reached: list[TrainedModel] = []
        self.tables: dict[str, list[pa.Table]] = {spec.name: [] for measure in measures for spec in measure.tables}

    def take(self, model: TrainedModel) -> None:
        """Notes a model that exists now, and starts the tasks about it; `finish` waits for them."""
        self.reached.append(model)
        key, context = model.checkpoint.model, self._context.at(model.strategy_run.context)
        for measure in self._measures:
            if measure.wants(model.checkpoint):
                for task in measure.tasks(context, model.checkpoint):
                    # Organizations with the same code share the work, and have rows each.
                    if (task.key, task.organization) not in self._begun:
                        self._begun.add((task.key, task.organization))
                        self._start(self._run(task, model))
        for queue in self._queues:
            if queue.measure.wants(model.checkpoint) and key not in queue.taken:
                queue.taken[key] = queue.waiting[key] = model
        if self._in_waves and any(queue.full for queue in self._queues) and (self._wave is None or self._wave.done()):
            self._wave = self._start(self._generate_waves())

    async def finish(self) -> None:
        """Waits for all tasks, has models generate what is missing, and compares what they wrote."""
        await asyncio.gather(*self._jobs)
        for queue in self._queues:
            for name, parts in (await queue.generation.tables(queue.taken)).items():
                self.tables[name] += parts

    def abandon(self) -> None:
        """Stops whatever `take` has started."""
        for job in self._jobs:
            job.cancel()

    @property
    def generates(self) -> bool:
        """Whether any measure has models generate."""
        return bool(self._queues)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        job = asyncio.ensure_future(work)
        job.add_done_callback(lambda j: j.cancelled() or j.exception())  # awaited when training has ended
        self._jobs.append(job)
        return job

    async def _generate_waves(self) -> None:
        """Has waiting models generate while nothing trains: generation takes every slot."""
        while queue := next((queue for queue in self._queues if queue.full), None):
            generation = queue.generation
            wave = {key: queue.waiting.pop(key) for key in list(queue.waiting)[: generation.models_at_once()]}
            tasks = await generation.look_up(wave)
            # Before it holds the slots, of which making evicted arrays again takes one.
            missing = dict.fromkeys(model for (model, _), task in tasks.items() if task.entry is None)
            await self._executor.rematerialize(*missing)
            async with self._executor.pool.slots.acquire_all(float("inf")):
                await generation.generate(tasks)

    async def _pooled_sequences(self, task: ClientTask) -> dict[str, npt.NDArray[np.int32]]:
        """What other organizations share for a task; nothing where the store has its result."""
        if not task.pooled or await self._executor.cached(task.key):
            return {}
        pool = self._executor.pool
        parts = await asyncio.gather(*(pool.call(name, "share_sequences") for name in task.pooled))
        return dict(zip(task.pooled, parts, strict=True))

    async def _run(self, task: ClientTask, model: TrainedModel) -> None:
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
        names = {"model": model.checkpoint.model} if task.reads_model else {}
        found = with_columns(entry.table(task.table), **names, organization=task.organization)
        self.tables[task.table].append(found)
