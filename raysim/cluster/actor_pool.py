"""The crew: the parties of every site, made when work needs them, and made again when they are lost.

A party is a pure function of what it was made from, so a replica of a busy one, and the successor of a lost one, do the
same work to the same bits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from raysim.cluster.backend import Backend
from raysim.cluster.retries import Retrying
from raysim.cluster.scheduler import Slots
from raysim.core.errors import PartyLost

Make = Callable[[], Awaitable[Any]]
"""Makes one more party of a site, ready for work."""


@dataclass
class _Team:
    """The parties of one site."""

    make: Make
    idle: list[Any] = field(default_factory=list)
    busy: list[Any] = field(default_factory=list)
    making: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __len__(self) -> int:
        return len(self.idle) + len(self.busy)

    def __contains__(self, party: object) -> bool:
        return any(party is one for one in (*self.idle, *self.busy))

    def remove(self, party: Any) -> None:
        self.idle = [one for one in self.idle if one is not party]
        self.busy = [one for one in self.busy if one is not party]


class Crew:
    """Hands out parties.

    Args:
        backend: where they live.
        slots: how many of them work at once, and how many of one site.
        retrying: what happens to short calls whose party is lost.
        turns: how many ranks train at once where that is fewer than slots, since GPUs have room for no more; None: all.
    """

    def __init__(self, backend: Backend, slots: Slots, retrying: Retrying, turns: Slots | None = None) -> None:
        self.backend = backend
        self.slots = slots
        self.retrying = retrying
        self.turns = turns
        self._teams: dict[str, _Team] = {}

    def enlist(self, site: str, make: Make) -> None:
        """Says how parties of `site` are made; none is made before it is needed."""
        self._teams[site] = _Team(make)

    def __contains__(self, site: str) -> bool:
        return site in self._teams

    @asynccontextmanager
    async def hold(self, site: str, priority: float, width: int = 1) -> AsyncIterator[Any]:
        """A party of `site` that is nobody else's, and `width` slots to let it work; one more is made if all are busy.

        A party that is lost meanwhile, which `PartyLost` says, is not seen again.
        """
        team = self._teams[site]
        async with self.slots.hold(site, priority, width):
            party = await self._own(site)
            try:
                yield party
            except PartyLost:
                self._bury(site, party)
                raise
            finally:
                if party in team:
                    team.remove(party)
                    team.idle.append(party)

    @asynccontextmanager
    async def hold_to_train(self, site: str, priority: float, ranks: int) -> AsyncIterator[Any]:
        """As `hold`, when it is the stage's turn at the GPUs, too, where there are some.

        The turn comes first: whoever waits for one keeps no slot from work that needs no GPU.
        """
        turn = self.turns.hold(site, priority, ranks) if self.turns else nullcontext()
        async with turn, self.hold(site, priority, ranks) as party:
            yield party

    async def call(self, site: str, method: str, *args: Any) -> Any:
        """A short call, which needs no slot, to any party of `site`, even a busy one; tried again if it is lost."""

        async def attempt() -> Any:
            party = await self.any(site)
            try:
                return await self.backend.call(party, method, *args)
            except PartyLost:
                self._bury(site, party)
                raise

        return await self.retrying.run(f"{method} at {site}", attempt)

    async def refer(self, site: str, method: str, *args: Any) -> Any:
        """A reference to the result of a call to any party of `site`; what is lost is not asked for again."""
        return await self.backend.refer(await self.any(site), method, *args)

    async def any(self, site: str) -> Any:
        """A party of `site`: an idle one that answers, else a busy one, else a new one."""
        team = self._teams[site]
        async with team.making:
            while team.idle:
                party = team.idle[0]
                if await self.backend.answers(party):
                    return party
                self._bury(site, party)
            if not team.busy:
                team.idle.append(await team.make())
                self._count(site)
            return (team.idle or team.busy)[0]

    async def _own(self, site: str) -> Any:
        """A party of `site` that answers, taken from the idle ones or made."""
        team = self._teams[site]
        async with team.making:  # one after the other: what `any` has just made may do
            while team.idle:
                party = team.idle.pop(0)
                team.busy.append(party)
                if await self.backend.answers(party):
                    return party
                self._bury(site, party)
            party = await team.make()
            team.busy.append(party)
            self._count(site)
            return party

    def _bury(self, site: str, party: Any) -> None:
        team = self._teams[site]
        if party in team:
            team.remove(party)
            self._count(site)
            self.backend.dismiss(party)

    def _count(self, site: str) -> None:
        self.slots.staff(site, len(self._teams[site]))
