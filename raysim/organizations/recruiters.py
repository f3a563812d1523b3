"""Makes the actors of organizations: one or more for each of them, or a few that host them all."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysim.cluster.actor_pool import ActorPool
from raysim.corpus.deduplication import Excluded
from raysim.organizations.client_stats import ClientStats
from raysim.organizations.host import OrganizationHost, check_unchanged
from raysim.organizations.organization import Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
from raysim.training.libraries import load_libraries

HOST = "hosted organizations"
"""Names the actors that host organizations; no organization is called so."""


class Recruiter(ABC):
    """Makes actors of organizations, and has these prepare their corpora.

    Args:
        pool: that they are registered in.
        settings: of each organization, by name.
        base: folder that relative paths of their sources start from.
        private: see `raysim.organizations.organization.Organization`.
    """

    def __init__(
        self, pool: ActorPool, settings: Mapping[str, OrganizationSettings], base: Path, private: str | None
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._base = base
        self._private = private
        self._context: PreparationContext | None = None
        self._excluded: Mapping[str, Excluded] = {}
        self._stats: Mapping[str, ClientStats] = {}

    @abstractmethod
    def warm(self) -> list[Awaitable[Any]]:
        """Calls by which actors load the libraries that they will need."""

    @abstractmethod
    async def prepare(self, context: PreparationContext, excluded: Mapping[str, Excluded]) -> dict[str, ClientStats]:
        """Has every organization prepare its corpus; what each says of it.

        Args:
            context: of all.
            excluded: what each is to leave out, if any is to.

        Raises:
            InputError: a source is missing, or gives too little.
        """

    def _of(self, name: str) -> PreparationContext | None:
        return self._context and replace(self._context, excluded=self._excluded.get(name))


class OwnActors(Recruiter):
    """Actors of one organization each; from the second on they must have the statistics of the first."""

    def __init__(
        self, pool: ActorPool, settings: Mapping[str, OrganizationSettings], base: Path, private: str | None
    ) -> None:
        super().__init__(pool, settings, base, private)
        for name in settings:
            pool.register(name, lambda name=name: self._make(name), settings[name].node)

    def warm(self) -> list[Awaitable[Any]]:
        return [self._pool.call(name, "run", load_libraries) for name in self._settings]

    async def prepare(self, context: PreparationContext, excluded: Mapping[str, Excluded]) -> dict[str, ClientStats]:
        asked = {name: replace(context, excluded=excluded.get(name)) for name in self._settings}
        found = await asyncio.gather(*(self._pool.call(name, "prepare", one) for name, one in asked.items()))
        stats: dict[str, ClientStats] = dict(zip(asked, found, strict=True))
        await asyncio.gather(
            *(self._pool.call(n, "forget_parts") for n, one in self._settings.items() if one.partition)
        )
        self._context, self._excluded, self._stats = context, excluded, stats
        return stats

    async def _make(self, name: str) -> Any:
        settings = self._settings[name]
        actor = self._pool.backend.spawn(Organization, name, settings, self._base, self._private, node=settings.node)
        if context := self._of(name):
            stats = await self._pool.backend.call(actor, "prepare", context)
            if settings.partition:
                await self._pool.backend.call(actor, "forget_parts")
            check_unchanged(stats, self._stats.get(name))
        return actor


class SharedActors(Recruiter):
    """Actors that host all organizations, as many as work at once: each prepares whom it works for."""

    def __init__(
        self, pool: ActorPool, settings: Mapping[str, OrganizationSettings], base: Path, private: str | None
    ) -> None:
        super().__init__(pool, settings, base, private)
        pool.register_hosted(settings, HOST, self._make)

    def warm(self) -> list[Awaitable[Any]]:
        return [self._pool.call(next(iter(self._settings)), "run", load_libraries)]

    async def prepare(self, context: PreparationContext, excluded: Mapping[str, Excluded]) -> dict[str, ClientStats]:
        self._context, self._excluded, self._stats = context, excluded, {}
        await self._tell()
        calls = (self._pool.call_in_turn(name, "run", stats_of) for name in self._settings)
        self._stats = dict(zip(self._settings, await asyncio.gather(*calls), strict=True))
        await self._tell()
        return dict(self._stats)

    async def _tell(self) -> None:
        await self._pool.tell(HOST, "learn", self._context, self._excluded, self._stats)

    async def _make(self) -> Any:
        host = self._pool.backend.spawn(OrganizationHost, dict(self._settings), self._base, self._private)
        if self._context:
            await self._pool.backend.call(host, "learn", self._context, self._excluded, self._stats)
        return host


def stats_of(organization: Organization) -> ClientStats:
    """A client function that tells what an organization said of its corpus when it prepared it."""
    return organization.stats
