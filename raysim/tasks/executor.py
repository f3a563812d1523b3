"""Keyed work: each piece once, found in the store or computed and stored, logged as it ends."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from raysim.cluster.actor_pool import ActorPool
from raysim.core.arrow import table_bytes
from raysim.core.errors import DamagedEntry, RunError
from raysim.core.keys import Key, canonical_json, key_of
from raysim.store.entries import Entry
from raysim.store.retention import Retention
from raysim.store.store import Store
from raysim.store.task_log import Observer, TaskKind, TaskLog, TaskRecord
from raysim.store.transfers import SERVER, Transfer

SHARED_WEIGHTS = 8
"""Sets of weights kept where parties can read them, beside those in the store."""

_LOOK_AGAIN_S = 0.5
"""Between two looks at work that another run is doing."""

TaskResult = tuple[Entry, TaskRecord]

Work = Callable[[bool], Awaitable[TaskResult]]
"""Finds or makes a result; called with True it must bring arrays that were let go."""

Compute = Callable[[], Awaitable[tuple[list[Transfer], dict[str, pa.Table]]]]
"""Work that needs no party of its own: what it moved, and its tables."""


class LeasedElsewhere(Exception):
    """Another run that shares the store is doing this work."""


@dataclass(frozen=True)
class TaskOutput:
    """What a visit to a site brings back: JSON facts, arrays and tables."""

    info: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)


class TaskExecutor:
    """Does keyed work.

    Args:
        store: where results lie.
        pool: the parties that do it.
        retention: says whose arrays may go when work has ended.
        log: of finished work, and of attempts.
        session: names this run of the command in the log.
        observer: is told for people.
    """

    def __init__(
        self, store: Store, pool: ActorPool, retention: Retention, log: TaskLog, session: str, observer: Observer
    ) -> None:
        self.store = store
        self.pool = pool
        self.backend = pool.backend
        self.observer = observer
        self.used: set[Key] = set()
        self._retention = retention
        self._log = log
        self._session = session
        self._attempts: Counter[Key] = Counter()
        self._running: dict[Key, asyncio.Future[TaskResult]] = {}
        self._again: dict[Key, tuple[Key, str, Work]] = {}
        self._made_by: dict[Key, set[Key]] = {}
        self._logged: dict[Key, set[str]] = {}
        self._shared: OrderedDict[Key, Any] = OrderedDict()

    async def get_or_compute(self, key: Key, setting: str, label: str, work: Work) -> Entry:
        """The result of `work`, logged under `setting`; tried again if its party is lost.

        Single flight: whoever asks for a key while its work is under way waits for the same result.
        """
        self.used.add(key)
        self.register_producer(key, key, label, work)
        if key not in self._running:
            self._running[key] = self._start(key, label, work, arrays=False)
        entry, record = await asyncio.shield(self._running[key])
        self._ended(replace(record, setting=setting, label=label))
        return entry

    def register_producer(self, key: Key, by: Key, label: str, work: Work) -> None:
        """Says that the work of `by` makes the arrays of `key`, should they be needed after they were let go."""
        self._again[key] = by, label, work
        self._made_by.setdefault(by, set()).add(key)

    async def cached(self, key: Key, arrays: bool = False) -> Entry | None:
        """The verified entry, or None; with `arrays`, also None if its arrays were let go.

        A damaged one is reported and moved away, so that it is computed again.
        """
        try:
            entry = await asyncio.to_thread(self.store.get, key)
        except DamagedEntry as error:
            self.observer.note(f"{error}; it is moved to the store's folder 'damaged' and computed again")
            self.store.discard(key)
            return None
        return None if entry and arrays and entry.dropped else entry

    async def entry(self, key: Key) -> Entry:
        """The entry of work that this run has done or found, with its arrays: made again if they were let go.

        Raises:
            DamagedEntry: it was damaged since.
        """
        while True:
            entry = await self.cached(key)
            if entry is None:
                raise DamagedEntry(f"store entry {key} was damaged while the run needed it; run the same command again")
            if not entry.dropped:
                return entry
            by, label, work = self._again[key]
            running = self._running.get(by)
            if running is None or running.done():
                running = self._running[by] = self._start(by, label, work, arrays=True)
            await asyncio.shield(running)

    async def rematerialize(self, *keys: Key | None) -> None:
        """Makes arrays that were let go. Whoever needs them calls this before it holds a slot: making takes one."""
        for key in keys:
            entry = self.store.peek(key) if key else None
            if entry and entry.dropped:
                await self.entry(entry.key)

    async def broadcast(self, key: Key) -> Any:
        """The weights of `key`, where parties can read them."""
        if key not in self._shared:
            entry = await self.entry(key)
            self._shared[key] = self.backend.share(entry.array("weights"))
            if len(self._shared) > SHARED_WEIGHTS:
                self._shared.popitem(last=False)
        self._shared.move_to_end(key)
        return self._shared[key]

    def attempt(self, key: Key, kind: TaskKind, label: str, tokens: int, client: str) -> None:
        """Says that `client` starts on a piece of work now."""
        self._attempts[key] += 1
        self._log.attempt(key, kind, label, client, self._attempts[key], self._session)
        self.observer.started(key, kind, label, tokens)

    async def run_on_client(
        self,
        recipe: Mapping[str, Any],
        client: str,
        label: str,
        function: Callable[..., TaskOutput],
        *args: Any,
        tokens: int = 0,
        given: Sequence[Transfer] = (),
    ) -> Entry:
        """Keyed work of ``function(site, *args)``, with weights before `args` if the recipe names some.

        What it brings back is a crossing from the site to the server; `given` are those of what `args` carry there.
        """
        key, kind = key_of(recipe), recipe["kind"]

        async def work(arrays: bool) -> TaskResult:
            if entry := await self.cached(key, arrays):
                return entry, TaskRecord(key, kind, "", label, "cached", tokens=tokens)
            await self.rematerialize(recipe.get("weights"))
            async with self.pool.acquire(client, self._retention.measure_priority) as actor:
                shared = [await self.broadcast(recipe["weights"])] if "weights" in recipe else []
                self.attempt(key, kind, label, tokens, client)
                started_s = time.monotonic()
                product: TaskOutput = await self.backend.call(actor, "run", function, *shared, *args)
                seconds = time.monotonic() - started_s
            content = canonical_json(dict(product.info)).encode()
            content += b"".join(array.tobytes() for array in product.arrays.values())
            content += b"".join(table_bytes(table) for table in product.tables.values())
            transfer = Transfer.of(client, SERVER, kind, content)
            info = {**product.info, "site": client, "crossings": [c.to_json() for c in (*given, transfer)]}
            entry = await asyncio.to_thread(self.store.put, recipe, info, product.arrays, product.tables)
            return entry, TaskRecord(key, kind, "", label, "computed", seconds, tokens)

        return await self.get_or_compute(key, "", label, work)

    async def run_on_server(self, recipe: Mapping[str, Any], label: str, function: Compute) -> Entry:
        """Keyed work of the server on what the organizations told: ``function()``, unless the store has it."""
        key, kind = key_of(recipe), recipe["kind"]

        async def work(arrays: bool) -> TaskResult:
            if entry := await self.cached(key, arrays):
                return entry, TaskRecord(key, kind, "", label, "cached")
            started_s = time.monotonic()
            transfers, tables = await function()
            info = {"crossings": [transfer.to_json() for transfer in transfers]}
            entry = await asyncio.to_thread(self.store.put, recipe, info, None, tables)
            return entry, TaskRecord(key, kind, "", label, "computed", time.monotonic() - started_s)

        return await self.get_or_compute(key, "", label, work)

    def _start(self, key: Key, label: str, work: Work, arrays: bool) -> asyncio.Future[TaskResult]:
        running = asyncio.ensure_future(self._perform(key, label, work, arrays))
        # Whoever waits is told of an error; once the run stops for one, nobody may be left to hear of a second.
        running.add_done_callback(lambda f: f.cancelled() or f.exception())
        return running

    async def _perform(self, key: Key, label: str, work: Work, arrays: bool) -> TaskResult:
        """`work`, tried again where its party is lost or another run has it; its errors name it."""
        if arrays:
            self._retention.begins_again(key)

        async def attempt() -> TaskResult:
            while True:
                try:
                    return await work(arrays)
                except LeasedElsewhere:
                    await self._wait_for_other_run(key, label)

        try:
            entry, record = await self.pool.retrying.run(label, attempt)
        except RunError as error:
            if str(error).startswith(label):
                raise
            raise type(error)(f"{label}: {error}") from error
        if record.status == "computed":
            record = replace(record, attempts=max(1, self._attempts[key]))
            if arrays:
                self._log.append(replace(record, label=f"{label}, once more for its arrays"), self._session)
        # At once, not in a thread: meanwhile, somebody could begin to count on what is about to go.
        for unused in self._retention.ended(key, self._made_by.get(key, ())):
            self.store.drop_arrays(unused)
            self._shared.pop(unused, None)
        return entry, record

    async def _wait_for_other_run(self, key: Key, label: str) -> None:
        self.observer.note(f"{label}: another run that shares the store is at it; waiting for its result")
        while self.store.is_leased(key):
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _ended(self, record: TaskRecord) -> None:
        """Logs once for each setting and key; what another setting of this run computed is cached for the next."""
        settings = self._logged.setdefault(record.key, set())
        if record.setting in settings:
            return
        if settings:
            record = replace(record, status="cached")
        if record.status == "cached":
            record = replace(record, seconds=0.0)
        settings.add(record.setting)
        self._log.append(record, self._session)
        self.observer.ended(record)
