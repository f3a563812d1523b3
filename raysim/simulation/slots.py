"""Slots: how many sites work at once, and who goes first."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Slots:
    """Hands out `count` slots; a site takes one at a time, and waiting work with the highest priority goes first.

    A site that is busy does not hold a slot back from other sites. Equal priorities go in the order of asking.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._busy: set[Hashable] = set()
        self._waiting: list[tuple[float, int, Hashable, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def hold(self, site: Hashable, priority: float) -> AsyncIterator[None]:
        """A slot for `site`, as soon as one is free, the site is idle, and nobody before it can have it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-priority, next(self._numbers), site, turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(site)
            raise
        try:
            yield
        finally:
            self._release(site)

    def _release(self, site: Hashable) -> None:
        self._free += 1
        self._busy.discard(site)
        self._serve()

    def _serve(self) -> None:
        passed_over = []
        while self._free and self._waiting:
            waiter = heapq.heappop(self._waiting)
            _, _, site, turn = waiter
            if turn.cancelled():
                continue
            if site in self._busy:
                passed_over.append(waiter)
                continue
            self._free -= 1
            self._busy.add(site)
            turn.set_result(None)
        for waiter in passed_over:
            heapq.heappush(self._waiting, waiter)
