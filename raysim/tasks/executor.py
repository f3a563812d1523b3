"""Keyed work: each piece once, found in the store or computed and stored, logged as it ends."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from raysim.cluster.actor_pool import ActorPool
from raysim.core.arrow import table_bytes
from raysim.core.errors import ActorLost, DamagedEntry, RunError
from raysim.core.json_text import parse_json
from raysim.core.keys import Key, canonical_json, key_of
from raysim.store.entries import Entry
from raysim.store.retention import Retention
from raysim.store.store import Store, refuse_diverged
from raysim.store.task_log import Observer, TaskLog, TaskRecord
from raysim.store.transfers import SERVER, Transfer
from raysim.store.write_behind import WriteBehind
from raysim.tasks.task import ArrayPolicy, Task, TaskOutput

SHARED_WEIGHTS = 8
"""Sets of weights kept where actors can read them, beside those in the store."""

_LOOK_AGAIN_S = 0.5
"""Between two looks at work that another run is doing."""

TaskResult = tuple[Entry, TaskRecord]

Work = Callable[[ArrayPolicy], Awaitable[TaskResult]]
"""Finds or makes a result, with its arrays if the policy asks for them."""

Compute = Callable[[], Awaitable[tuple[list[Transfer], dict[str, pa.Table]]]]
"""Work that needs no actor of its own: what it moved, and its tables."""


class LeasedElsewhere(Exception):
    """Another run that shares the store is doing this work."""


class TaskExecutor:
    """Does keyed work.

    Args:
        store: where results lie.
        pool: the actors that do it.
        retention: says whose arrays may be evicted when work has ended.
        log: of finished work, and of attempts.
        session: names this run of the command in the log.
        observer: receives progress events.
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
        self.session = session
        self._attempts: Counter[Key] = Counter()
        self._running: dict[Key, asyncio.Future[TaskResult]] = {}
        self._again: dict[Key, tuple[Key, str, Work]] = {}
        self._made_by: dict[Key, set[Key]] = {}
        self._logged: dict[Key, set[str]] = {}
        self._shared: OrderedDict[Key, Any] = OrderedDict()
        self._unwritten: dict[Key, Any] = {}
        self._behind = WriteBehind(store)

    async def get_or_compute(self, key: Key, setting: str, label: str, work: Work) -> Entry:
        """The result of `work`, logged under `setting` once it is in the store; tried again if its actor is lost.

        Single flight: whoever asks for a key while its work is under way waits for the same result.
        """
        self.used.add(key)
        self.register_producer(key, key, label, work)
        if key not in self._running:
            self._running[key] = self._start(key, label, work, ArrayPolicy.LOOKUP)
        entry, record = await asyncio.shield(self._running[key])
        self._behind.after(key, lambda: self._ended(replace(record, setting=setting, label=label)))
        return entry

    def register_producer(self, key: Key, by: Key, label: str, work: Work) -> None:
        """Says that the work of `by` makes the arrays of `key`, should they be needed after they were evicted."""
        self._again[key] = by, label, work
        self._made_by.setdefault(by, set()).add(key)

    async def cached(self, key: Key, policy: ArrayPolicy = ArrayPolicy.LOOKUP) -> Entry | None:
        """The verified entry, or None; with `ArrayPolicy.REMATERIALIZE`, also None if some of its arrays were evicted.

        A damaged one is reported and moved away, so that it is computed again. One that is on its way is waited for.
        """
        await self.written(key)
        try:
            entry = await asyncio.to_thread(self.store.get, key) if self.store.has(key) else None
        except DamagedEntry as error:
            self.observer.note(f"{error}; it is moved to the store's folder 'damaged' and computed again")
            self.store.discard(key)
            return None
        return None if entry and entry.dropped and policy is ArrayPolicy.REMATERIALIZE else entry

    async def entry(self, key: Key) -> Entry:
        """The entry of work that this run has done or found, with its arrays: made again if they were evicted.

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
                running = self._running[by] = self._start(by, label, work, ArrayPolicy.REMATERIALIZE)
            await asyncio.shield(running)

    async def rematerialize(self, *keys: Key | None) -> None:
        """Makes arrays that are nowhere any more. Whoever needs them calls this before it holds a slot.

        Making takes one.
        """
        for key in keys:
            entry = self.store.peek(key) if key and key not in self._unwritten else None
            if entry and entry.dropped:
                await self.entry(entry.key)

    async def broadcast(self, key: Key) -> Any:
        """The weights of `key`, or what its client sent in their place, where actors can read them."""
        handle = self.in_passing(key)
        if handle is None:
            handle = self._shared.get(key)
        if handle is None:
            entry = await self.entry(key)
            handle = self.backend.share(entry.array(entry.sent_array))
            self.hand_on(key, handle)
        elif key in self._shared:
            self._shared.move_to_end(key)
        return handle

    def in_passing(self, key: Key) -> Any | None:
        """By what the weights of `key` reach actors, where they are written nowhere.

        Whoever waits for a slot asks before: an actor that is lost meanwhile takes them from here, and making them
        again would wait for a slot, too.
        """
        return self._unwritten.get(key)

    def hand_on(self, key: Key, handle: Any) -> None:
        """Says by what the weights of `key` reach actors; see `raysim.cluster.backend.Backend.share`."""
        if self._retention.in_passing(key):
            self._unwritten[key] = handle  # until nobody needs it: the store does not have it
            return
        self._shared[key] = handle
        if len(self._shared) > SHARED_WEIGHTS:
            self._shared.popitem(last=False)

    def let_go(self, keys: Iterable[Key], by: Key) -> None:
        """Forgets by what these weights, which the work of `by` has read, reach actors.

        Whoever asks again, has them read from the store; those that are not written stay while others are to read them.
        """
        for key in keys:
            self._shared.pop(key, None)
            if self._retention.readers(key) <= {by}:
                self._unwritten.pop(key, None)

    async def put_behind(
        self,
        label: str,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        policy: ArrayPolicy,
        then: Callable[[], None] = lambda: None,
    ) -> Entry:
        """The entry of finished work, whose facts are there; its arrays are written meanwhile.

        Args:
            label: names the work.
            recipe: of it.
            info: its JSON facts.
            arrays: its arrays, which nobody may change any more.
            policy: whether somebody waits for the arrays in the store; else those that only pass are not written.
            then: called once the entry is in the store, or cannot be written.

        Raises:
            Diverged: an array has no finite norm; nothing is kept of it.
        """
        key = key_of(recipe)
        try:
            await asyncio.to_thread(refuse_diverged, arrays)
            facts_alone = policy is ArrayPolicy.LOOKUP and self._retention.in_passing(key)
            self._behind.put(label, recipe, info, arrays, then, facts_alone)
        except BaseException:
            then()
            raise
        return Entry(key, self.store.folder, recipe, parse_json(canonical_json(info).encode()), {})

    async def written(self, *keys: Key) -> None:
        """Waits for what is on its way into the store.

        Raises:
            RunError: it cannot be written.
        """
        for key in keys:
            await self._behind.written(key)

    async def flush(self) -> None:
        """As `written`, for everything."""
        await self._behind.flush()

    def attempt(self, key: Key, kind: str, label: str, tokens: int, client: str) -> None:
        """Says that `client` starts on a piece of work now."""
        self._attempts[key] += 1
        self._log.attempt(key, kind, label, client, self._attempts[key], self.session)
        self.observer.started(key, kind, label, tokens)

    async def run_on_client(self, task: Task[TaskOutput], priority: float | None = None) -> Entry:
        """The result of `task`, from the store or computed at its client.

        The output is a transfer from the client to the server.

        Args:
            task: to do.
            priority: of a slot for it; None: that of measuring.
        """
        key, kind, client = task.key, task.kind, task.client
        priority = self._retention.measure_priority if priority is None else priority

        async def work(policy: ArrayPolicy) -> TaskResult:
            if entry := await self.cached(key, policy):
                return entry, TaskRecord(key, kind, "", task.label, "cached", tokens=task.tokens)
            await self.rematerialize(task.weights)
            async with self.pool.acquire(client, priority) as actor:
                weights = [await self.broadcast(task.weights)] if task.weights else []
                self.attempt(key, kind, task.label, task.tokens, client)
                started_s = time.monotonic()
                output: TaskOutput = await self.backend.call(actor, "run", task.function, *weights, *task.arguments)
                seconds = time.monotonic() - started_s
            content = canonical_json(dict(output.info)).encode()
            content += b"".join(array.tobytes() for array in output.arrays.values())
            content += b"".join(table_bytes(table) for table in output.tables.values())
            transfer = Transfer.of(client, SERVER, kind, content)
            info = {**output.info, "site": client, "crossings": [t.to_json() for t in (*task.given, transfer)]}
            entry = await asyncio.to_thread(self.store.put, task.recipe, info, output.arrays, output.tables)
            return entry, TaskRecord(key, kind, "", task.label, "computed", seconds, task.tokens)

        return await self.get_or_compute(key, "", task.label, work)

    async def run_on_server(self, recipe: Mapping[str, Any], label: str, function: Compute) -> Entry:
        """Keyed work of the server on what the organizations sent: ``function()``, unless the store has it."""
        key, kind = key_of(recipe), recipe["kind"]

        async def work(policy: ArrayPolicy) -> TaskResult:
            if entry := await self.cached(key, policy):
                return entry, TaskRecord(key, kind, "", label, "cached")
            started_s = time.monotonic()
            transfers, tables = await function()
            info = {"crossings": [transfer.to_json() for transfer in transfers]}
            entry = await asyncio.to_thread(self.store.put, recipe, info, None, tables)
            return entry, TaskRecord(key, kind, "", label, "computed", time.monotonic() - started_s)

        return await self.get_or_compute(key, "", label, work)

    def _start(self, key: Key, label: str, work: Work, policy: ArrayPolicy) -> asyncio.Future[TaskResult]:
        running = asyncio.ensure_future(self._perform(key, label, work, policy))
        # Whoever waits gets an error; once the run stops for one, nobody may be left to retrieve a second.
        running.add_done_callback(lambda f: f.cancelled() or f.exception())
        return running

    async def _perform(self, key: Key, label: str, work: Work, policy: ArrayPolicy) -> TaskResult:
        """`work`, tried again where its actor is lost or another run has it; its errors name it."""
        again = policy is ArrayPolicy.REMATERIALIZE
        if again:
            self._retention.begins_again(key)

        async def attempt() -> TaskResult:
            while True:
                try:
                    return await work(policy)
                except LeasedElsewhere:
                    await self._wait_for_other_run(key, label)
                except ActorLost:
                    # Weights that a lost one made may be lost with it.
                    self._shared.clear()
                    self._unwritten.clear()
                    raise

        try:
            entry, record = await self.pool.retrying.run(label, attempt)
        except RunError as error:
            if str(error).startswith(label):
                raise
            raise type(error)(f"{label}: {error}") from error
        if record.status == "computed":
            record = replace(record, attempts=max(1, self._attempts[key]))
            if again:
                self._log.append(replace(record, label=f"{label}, once more for its arrays"), self.session)
        self._behind.after(key, lambda: self._evict_unused(key))
        return entry, record

    def hold(self, key: Key) -> None:
        """Keeps the weights of `key`, whoever else reads them, until `release`."""
        self._retention.hold(key)

    def release(self, key: Key) -> None:
        """Ends a `hold`."""
        self._behind.after(key, lambda: self._evict(self._retention.release(key)))

    async def end_with(self, key: Key) -> None:
        """Sees that the weights of `key` stay as a final model's, which was not planned."""
        self._retention.end_with(key)
        await self.rematerialize(key)

    def evict_left_over(self) -> None:
        """Evicts what stays for nobody when the run has ended: what planned work was to read that did not come."""
        self._evict(self._retention.left_over(self.used))

    def _evict_unused(self, key: Key) -> None:
        self._evict(self._retention.ended(key, self._made_by.get(key, ())))

    def _evict(self, keys: Iterable[Key]) -> None:
        # At once, not in a thread: meanwhile, somebody could begin to count on what is about to be evicted.
        for unused in keys:
            self.store.drop_arrays(unused)
            self._shared.pop(unused, None)
            self._unwritten.pop(unused, None)

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
        self._log.append(record, self.session)
        self.observer.ended(record)
