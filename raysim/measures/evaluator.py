"""Measures the models of a run: visits to the organizations, and probing where an experiment asks for it."""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from raysim.core.arrow import with_columns
from raysim.core.keys import Key
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.setup import Setup
from raysim.measures.client_tasks import CLIENT_TABLES, ClientTask, client_tasks
from raysim.measures.memorization.measure import PROBE_TABLES, AtCheckpoints, MemorizationMeasure, wanted
from raysim.measures.pass_at_k.measure import SOLVING_TABLES, PassAtKMeasure
from raysim.simulation.executor import TrainedModel
from raysim.tasks.batch_jobs import BatchedTasks
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.task import Task

_TABLES = (*PROBE_TABLES, *SOLVING_TABLES, *CLIENT_TABLES)


class GenerationMeasure(Protocol):
    """Asks models for text, which takes their weights; what comes of it is compared later, without them."""

    async def look_up(self, models: Mapping[Key, TrainedModel], /) -> BatchedTasks: ...

    async def generate(self, pieces: BatchedTasks, /) -> None: ...

    async def tables(self, models: Mapping[Key, TrainedModel], /) -> dict[str, list[pa.Table]]: ...

    def models_at_once(self) -> int: ...


@dataclass
class _Queue:
    """An asker, when it asks, the models that it has taken, and those of them that wait to be asked."""

    measure: GenerationMeasure
    settings: AtCheckpoints
    taken: dict[Key, TrainedModel] = field(default_factory=dict)
    waiting: dict[Key, TrainedModel] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return len(self.waiting) >= self.measure.models_at_once()


class Evaluator:
    """Measures what a run reaches.

    Args:
        loaded: the experiment.
        setup: its parties.
        executor: does keyed work.
        workers: of the pipeline.
        secret_file: holds the key of line hashes; made if it is not there.
        in_waves: whether training pauses for prompts and problems whenever enough models wait for them; else they all
            wait for its end.
    """

    def __init__(
        self,
        loaded: LoadedExperiment,
        setup: Setup,
        executor: TaskExecutor,
        workers: int,
        secret_file: Path,
        in_waves: bool,
    ) -> None:
        self._loaded = loaded
        self._setup = setup
        self._executor = executor
        measure = loaded.experiment.measure
        self._asking: list[_Queue] = []
        if settings := measure.memorization:
            probing = MemorizationMeasure(loaded, setup, executor, settings, workers, read_secret(secret_file))
            self._asking.append(_Queue(probing, settings))
        if settings := measure.pass_at_k:
            self._asking.append(_Queue(PassAtKMeasure(loaded, setup, executor, settings, workers), settings))
        self._in_waves = in_waves
        self._begun: set[Key] = set()
        self._tasks: list[asyncio.Future[None]] = []
        self._wave: asyncio.Future[None] | None = None
        self.reached: list[TrainedModel] = []
        self.tables: dict[str, list[pa.Table]] = {name: [] for name in _TABLES}

    def take(self, model: TrainedModel) -> None:
        """Notes a model that exists now, and starts to score it; `finish` waits for it."""
        self.reached.append(model)
        key, context = model.checkpoint.model, model.strategy_run.context
        for client_task in client_tasks(self._loaded.experiment, self._setup.tokenizer, context, model.checkpoint):
            if client_task.key not in self._begun:
                self._begun.add(client_task.key)
                self._start(self._pay(client_task, model))
        for one in self._asking:
            if wanted(model.checkpoint, one.settings) and key not in one.taken:
                one.taken[key] = one.waiting[key] = model
        if self._in_waves and any(one.full for one in self._asking) and (self._wave is None or self._wave.done()):
            self._wave = self._start(self._generate_waves())

    async def finish(self) -> None:
        """Waits for all scores, asks what was not asked yet, and compares what was answered."""
        await asyncio.gather(*self._tasks)
        for one in self._asking:
            for name, parts in (await one.measure.tables(one.taken)).items():
                self.tables[name] += parts

    def abandon(self) -> None:
        """Stops whatever `take` has started."""
        for task in self._tasks:
            task.cancel()

    @property
    def wants_epochs(self) -> bool:
        """Whether models after every epoch are wanted."""
        return self._loaded.experiment.after_epochs

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda t: t.cancelled() or t.exception())  # awaited when training has ended
        self._tasks.append(task)
        return task

    async def _generate_waves(self) -> None:
        """Has waiting models generate, while nothing trains: generation takes every slot."""
        while one := next((one for one in self._asking if one.full), None):
            wave = {key: one.waiting.pop(key) for key in list(one.waiting)[: one.measure.models_at_once()]}
            pieces = await one.measure.look_up(wave)
            # Before it holds the slots, of which making what was let go takes one.
            await self._executor.rematerialize(
                *dict.fromkeys(m for (m, _), piece in pieces.items() if piece.entry is None)
            )
            async with self._executor.pool.slots.acquire_all(float("inf")):
                await one.measure.generate(pieces)

    async def _pay(self, client_task: ClientTask, model: TrainedModel) -> None:
        """Pays a visit about `model`, or about none, and keeps what it tells."""
        has_model, asked = "weights" in client_task.recipe, f"{client_task.about} of {client_task.organization}"
        label = f"{model.name} on {asked}" if has_model else f"{asked}, without a model"
        arguments, tokens = client_task.arguments, client_task.tokens
        entry = await self._executor.run_on_client(
            Task(client_task.recipe, label, client_task.organization, client_task.function, arguments, tokens)
        )
        names = {"model": model.checkpoint.model} if has_model else {}
        found = with_columns(entry.table(client_task.table), **names, organization=client_task.organization)
        self.tables[client_task.table].append(found)


def read_secret(path: Path) -> bytes:
    """The key of a run's line hashes, made at the run's first start; a kill leaves none or a whole one."""
    if not path.is_file():
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(secrets.token_bytes(32))
        unfinished.replace(path)
    return path.read_bytes()
