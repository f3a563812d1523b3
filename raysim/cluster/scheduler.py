"""Slots: how many actors work at once, how many of one client, and who goes first."""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(order=True)
class _Waiter:
    rank: tuple[float, int]
    client: Hashable = field(compare=False)
    width: int = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class Scheduler:
    """Hands out `count` slots, at most `per_client` of them to one client; the highest priority goes first.

    A client that can take no more does not hold a slot back from others. Equal priorities go in the order of asking.
    Work that an idle actor can do goes before work for which one more actor would be made: see `set_actor_count`.
    Work may take several slots, all at once or none of them; nobody passes it while it waits for the last of them.

    Args:
        count: of slots.
        per_client: slots of one client at most.
        patience_s: seconds that a slot stays idle before work takes it for which one more actor would have to be made.
            As long as making one takes: less is seldom lost by either (as in the ski-rental problem).
    """

    def __init__(self, count: int, per_client: int = 1, patience_s: float = 0.0) -> None:
        self.count = count
        self._patience_s = patience_s
        self._idle_since_s: float | None = None
        self._free = count
        self._per_client = per_client
        self._busy: Counter[Hashable] = Counter()
        self._num_actors: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, list[_Waiter]] = {}
        self._numbers = itertools.count()

    def set_actor_count(self, client: Hashable, actors: int) -> None:
        """Says how many actors `client` has now; a client of which nothing was said counts as having one."""
        self._num_actors[client] = actors

    @asynccontextmanager
    async def acquire(self, client: Hashable, priority: float, width: int = 1) -> AsyncIterator[None]:
        """`width` slots for `client`, as soon as they are free, the client can take them, and nobody goes before it.

        Raises:
            ValueError: there are fewer slots than that.
        """
        if width > self.count:
            raise ValueError(f"{width} slots are asked for, and there are {self.count}")
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter((-priority, next(self._numbers)), client, width, granted)
        heapq.heappush(self._waiting.setdefault(client, []), waiter)
        self._serve()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._release(client, width)
            raise
        try:
            yield
        finally:
            self._release(client, width)

    @asynccontextmanager
    async def acquire_all(self, priority: float) -> AsyncIterator[None]:
        """Every slot, for work that takes the whole machine."""
        async with self.acquire(object(), priority, self.count):
            yield

    def _release(self, client: Hashable, width: int) -> None:
        self._free += width
        self._busy[client] -= 1
        self._serve()

    def _serve(self) -> None:
        while (waiter := self._next()) and waiter.width <= self._free:
            heapq.heappop(self._waiting[waiter.client])
            self._free -= waiter.width
            self._busy[waiter.client] += 1
            waiter.granted.set_result(None)
        if not (self._free and self._waiting):
            self._idle_since_s = None
        elif self._patience_s and self._idle_since_s is None:
            loop = asyncio.get_running_loop()
            self._idle_since_s = loop.time()
            loop.call_later(self._patience_s, self._serve)

    @property
    def _is_patient(self) -> bool:
        """Whether idle slots wait for an actor that is there to become free."""
        if not self._patience_s:
            return False
        # A clock's tick may be missing when the timer fires.
        idle_since_s, now_s = self._idle_since_s, asyncio.get_running_loop().time()
        return idle_since_s is None or now_s - idle_since_s < 0.99 * self._patience_s

    def _next(self) -> _Waiter | None:
        """Who goes next: the first whose client has an idle actor, else the first whose client may have one more."""
        able = [one for one in self._first_waiters() if self._busy[one.client] < self._per_client]
        with_actor = [one for one in able if self._busy[one.client] < max(1, self._num_actors[one.client])]
        if with_actor:
            return min(with_actor)
        return None if able and self._is_patient else min(able, default=None)

    def _first_waiters(self) -> list[_Waiter]:
        """Who is first of each client; whoever gave up is forgotten. A client's others wait for the same."""
        for client, waiters in list(self._waiting.items()):
            while waiters and waiters[0].granted.cancelled():
                heapq.heappop(waiters)
            if not waiters:
                del self._waiting[client]
        return [waiters[0] for waiters in self._waiting.values()]
