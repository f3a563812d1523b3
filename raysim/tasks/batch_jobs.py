"""Keyed work that goes through the pipeline: many pieces a job, each stored when its last part has come.

A job outlives the loss of a worker: see `raysim.tasks.ray_data.map_tables`. One that fails all the same is
started again for what it had not delivered; parts that have come are not asked for twice.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from raysim.cluster.labels import Labels, shown
from raysim.core.arrow import table_bytes
from raysim.core.event_loop import merged
from raysim.core.keys import Key, key_of
from raysim.store.entries import Entry
from raysim.store.task_log import TaskRecord
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.executor import TaskExecutor, TaskResult
from raysim.tasks.ray_data import IN_FLIGHT, Step, map_tables
from raysim.tasks.task import ArrayPolicy

Probe = tuple[Key, str]
"""A model, and the organization whose prompts it is asked; or the server, whose problems are nobody's."""


WORK_SCHEMA = pa.schema([("model", pa.string()), ("organization", pa.string()), ("batch", pa.int32())])
"""One row of work for a step: a model, whose prompts it answers, and which part of them."""


@dataclass
class BatchedTask:
    """One piece of keyed work on its way through the pipeline.

    Attributes:
        recipe: of the work.
        label: names it for people.
        tokens: that it takes.
        num_parts: answers that it is made of.
        sent: what it takes to the organization, or to whoever does it, beside weights.
        entry: in the store, once it is there.
        parts: that have come, by number.
    """

    recipe: Mapping[str, Any]
    label: str
    tokens: int
    num_parts: int
    sent: tuple[Transfer, ...] = ()
    entry: Entry | None = None
    parts: dict[int, pa.Table] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return key_of(self.recipe)

    @property
    def finished(self) -> Entry:
        """Its entry, after it has been through the pipeline or was found in the store."""
        assert self.entry is not None, "every piece has been through the pipeline or was in the store"
        return self.entry


BatchedTasks = Mapping[Probe, BatchedTask]


@dataclass(frozen=True)
class BatchJob:
    """How the pieces of one kind go through the pipeline.

    Attributes:
        step: a class whose objects map a table to a table.
        arguments: makes its keyword arguments, anew for each attempt: references may be lost with a node.
        work: the table that asks for one part of a probe's piece.
        part: which part an answer is.
        tables: what is stored of a piece, from its parts in order.
        light: it takes less than workers of the pipeline take to start. Where Ray is our own, in this machine, each
            probe's organization does it by itself: its processes have all modules loaded.
    """

    step: type
    arguments: Callable[[], Awaitable[dict[str, Any]]]
    work: Callable[[Probe, int], pa.Table]
    part: Callable[[pa.Table], int]
    tables: Callable[[list[pa.Table]], dict[str, pa.Table]]
    light: bool = False


class BatchJobs:
    """Runs jobs on `workers` workers of the pipeline; those that answer for a pinned organization are on its nodes."""

    def __init__(self, executor: TaskExecutor, workers: int) -> None:
        self._executor = executor
        self._workers = workers

    async def look_up(self, pieces: BatchedTasks) -> None:
        """Takes what the store has."""
        for piece in pieces.values():
            piece.entry = await self._executor.cached(piece.key)
            if piece.entry:
                await self._finish(piece, 0.0, "cached")

    async def run(self, job: BatchJob, pieces: BatchedTasks) -> None:
        """Makes the entries of `pieces`.

        Raises:
            RunError: workers were lost again and again, without a part in between.
        """

        def delivered() -> int:
            return sum(piece.num_parts if piece.entry else len(piece.parts) for piece in pieces.values())

        kinds = " and ".join(sorted({piece.recipe["kind"] for piece in pieces.values()}))

        async def attempt() -> None:
            await self._attempt(job, {probe: piece for probe, piece in pieces.items() if not piece.entry})

        await self._executor.pool.retrying.run(f"pipeline ({kinds})", attempt, delivered)

    async def _attempt(self, job: BatchJob, pieces: BatchedTasks) -> None:
        missing = [
            (probe, part)
            for probe, piece in pieces.items()
            for part in range(piece.num_parts)
            if part not in piece.parts
        ]
        arguments = await job.arguments()
        tables = [job.work(probe, part) for probe, part in missing]
        started_s = time.monotonic()
        ahead = deque(missing)
        begun: set[Probe] = set()
        under_way = 0

        def hand_out() -> None:
            """Logs the pieces that the pipeline begins: it takes its work in order, `IN_FLIGHT` parts a worker."""
            nonlocal under_way
            while ahead and under_way < self._workers * IN_FLIGHT:
                probe, _ = ahead.popleft()
                under_way += 1
                if probe not in begun:
                    begun.add(probe)
                    piece = pieces[probe]
                    self._executor.attempt(piece.key, piece.recipe["kind"], piece.label, piece.tokens, probe[1])

        hand_out()
        if job.light and self._backend.embedded:
            # What is nobody's is anybody's to do.
            names = [self._executor.pool.first if probe[1] == SERVER else probe[1] for probe, _ in missing]
            answers = self._from_organizations(job, arguments, names, tables)
        else:
            answers = self._from_pipelines(job, arguments, [probe for probe, _ in missing], tables)
        async with aclosing(answers):
            async for answer in answers:
                under_way -= 1
                hand_out()
                probe = answer["model"][0].as_py(), answer["organization"][0].as_py()
                piece = pieces[probe]
                piece.parts[job.part(answer)] = answer
                if len(piece.parts) < piece.num_parts:
                    done = piece.tokens * len(piece.parts) // piece.num_parts
                    self._executor.observer.progressed(piece.key, done, "")
                    continue
                results = job.tables([piece.parts[part] for part in range(piece.num_parts)])
                content = b"".join(table_bytes(table) for table in results.values())
                info: dict[str, Any] = {}
                if probe[1] != SERVER:
                    transfers = *piece.sent, Transfer.of(probe[1], SERVER, piece.recipe["kind"], content)
                    info = {"site": probe[1], "crossings": [transfer.to_json() for transfer in transfers]}
                elif piece.sent:
                    info = {"crossings": [transfer.to_json() for transfer in piece.sent]}
                piece.entry = await asyncio.to_thread(self._executor.store.put, piece.recipe, info, None, results)
                piece.parts.clear()
                now_s = time.monotonic()
                await self._finish(piece, now_s - started_s, "computed")
                started_s = now_s

    @property
    def _backend(self) -> Any:
        return self._executor.pool.backend

    def _from_pipelines(
        self, job: BatchJob, arguments: dict[str, Any], probes: list[Probe], tables: list[pa.Table]
    ) -> AsyncGenerator[pa.Table, None]:
        """Answers of workers of the pipeline: one on any nodes, and one on the nodes of each that is pinned."""
        pool, groups = self._executor.pool, dict[str, tuple[Labels, list[pa.Table]]]()
        for probe, table in zip(probes, tables, strict=True):
            node = pool.node_of(probe[1])
            groups.setdefault(shown(node), (node, []))[1].append(table)
        retries = pool.retrying.policy.retries

        def answers(node: Labels, some: list[pa.Table]) -> AsyncGenerator[pa.Table, None]:
            workers = min(self._workers, self._backend.cpus(node)) if node else self._workers
            name = self._backend.name
            return self._answers(map_tables(job.step, arguments, some, workers, name, retries=retries, node=node))

        return merged([answers(*group) for group in groups.values()])

    async def _answers(self, results: Generator[pa.Table, None, None]) -> AsyncGenerator[pa.Table, None]:
        try:
            async for table in _as_they_come(results):
                yield table
        except Exception as error:
            explained = self._backend.translate_error(error)
            if explained is error:
                raise
            raise explained from error

    async def _from_organizations(
        self, job: BatchJob, arguments: dict[str, Any], names: list[str], tables: list[pa.Table]
    ) -> AsyncGenerator[pa.Table, None]:
        """Answers of the organizations `names` to their `tables`, as they come, `workers` of them at once."""
        shared, number, limit = self._backend.share(arguments), uuid.uuid4().hex, asyncio.Semaphore(self._workers)

        async def answer(name: str, table: pa.Table) -> pa.Table:
            async with limit:
                actor = await self._executor.pool.any(name)
                return await self._backend.call(actor, "run", _apply, number, job.step, shared, table)

        asked = [asyncio.ensure_future(answer(*one)) for one in zip(names, tables, strict=True)]
        try:
            for ended in asyncio.as_completed(asked):
                yield await ended
        finally:
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _finish(self, piece: BatchedTask, seconds: float, status: Literal["computed", "cached"]) -> None:
        async def done(_: ArrayPolicy) -> TaskResult:
            record = TaskRecord(piece.key, piece.recipe["kind"], "", piece.label, status, seconds, piece.tokens)
            return piece.finished, record

        await self._executor.get_or_compute(piece.key, "", piece.label, done)


_held: tuple[str, Step] | None = None
"""The step that was applied last in this process, and the number of its job."""


def _apply(client: Any, number: str, step: type, arguments: dict[str, Any], table: pa.Table) -> pa.Table:
    """A client function that applies the step of job `number`, made at the first call."""
    global _held
    del client
    if _held is None or _held[0] != number:
        _held = None  # before another takes as much memory
        _held = number, step(**arguments)
    return _held[1](table).replace_schema_metadata(None)


def groups(pieces: BatchedTasks, limit: int) -> Iterator[list[Probe]]:
    """What is not done yet, cut so that one job holds the weights, or the answers, of at most `limit` models."""
    group: list[Probe] = []
    models: set[Key] = set()
    for probe, piece in pieces.items():
        if piece.entry is not None:
            continue
        if probe[0] not in models and len(models) >= limit:
            yield group
            group, models = [], set()
        group.append(probe)
        models.add(probe[0])
    if group:
        yield group


async def _as_they_come(results: Generator[pa.Table, None, None]) -> AsyncIterator[pa.Table]:
    """The items of a generator that blocks, each fetched in a thread.

    A cancelled wait lets that thread come to an end first: it would outlive Ray, and start one of its own.
    """
    while True:
        step = asyncio.ensure_future(asyncio.to_thread(next, results, None))
        try:
            table = await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            results.close()
            raise
        if table is None:
            return
        yield table
