"""Many organizations in one actor: each is a record until work is about its code, and again when others need the room.

What is told of the boundary between organizations holds for their messages, not for such a process: whoever may look
into it may look into all of them. An experiment asks for it (`execution.share_actors`), or has very many of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysim.core.errors import RunError
from raysim.corpus.deduplication import Excluded
from raysim.organizations.client_stats import ClientStats
from raysim.organizations.organization import Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
from raysim.training.model_host import ModelMemory

HELD_BYTES = 64_000_000
"""Of code that a host has in memory, at most, beside that of the organization at work."""

RECORD_BYTES = 500_000
"""What an organization counts at least: a small one takes more memory than its code."""


class OrganizationHost:
    """Hosts organizations, of which one works at a time: they share the memory of one model.

    An organization is prepared when it is called, and forgotten when `held_bytes` are full and others were called
    later; its token shard stays in its private folder. It is a function of its record, so nothing depends on it.

    Args:
        settings: of each organization, by name.
        base: folder that relative paths of their sources start from.
        private: see `raysim.organizations.organization.Organization`.
        held_bytes: of code in memory at most.
    """

    def __init__(
        self,
        settings: Mapping[str, OrganizationSettings],
        base: Path,
        private: str | None = None,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self._settings = settings
        self._places = base, private
        self._held_bytes = held_bytes
        self._memory = ModelMemory()
        self._held: dict[str, Organization] = {}
        self._context: PreparationContext | None = None
        self._excluded: Mapping[str, Excluded] = {}
        self._stats: Mapping[str, ClientStats] = {}

    def learn(
        self, context: PreparationContext, excluded: Mapping[str, Excluded], stats: Mapping[str, ClientStats]
    ) -> None:
        """Says what organizations are prepared with from now on.

        Args:
            context: of all.
            excluded: what each is to leave out, if any is to.
            stats: that each must have, as far as they are known.
        """
        self._context, self._excluded, self._stats = context, excluded, stats
        self._held.clear()

    def call(self, name: str, method: str, *args: Any) -> Any:
        """The result of a method of the organization `name`."""
        try:
            return getattr(self._organization(name), method)(*args)
        finally:
            self._make_room(name)

    def stream(self, name: str, method: str, *args: Any) -> Iterator[Any]:
        """The items of a generator method of the organization `name`."""
        try:
            yield from getattr(self._organization(name), method)(*args)
        finally:
            self._make_room(name)

    @property
    def held(self) -> tuple[str, ...]:
        """Names of the organizations whose code is in memory, that which was called last comes last."""
        return tuple(self._held)

    def _organization(self, name: str) -> Organization:
        """The organization, prepared as soon as it is known with what.

        Raises:
            RunError: its files are not those that they were.
        """
        organization = self._held.pop(name, None)
        if organization is None:
            organization = Organization(name, self._settings[name], *self._places, self._memory)
            if self._context:
                stats = organization.prepare(replace(self._context, excluded=self._excluded.get(name)))
                check_unchanged(stats, self._stats.get(name))
        self._held[name] = organization
        return organization

    def _make_room(self, name: str) -> None:
        sizes = {one: max(RECORD_BYTES, organization.held_bytes) for one, organization in self._held.items()}
        total = sum(sizes.values()) - sizes.get(name, 0)
        for one in [one for one in self._held if one != name]:
            if total <= self._held_bytes:
                break
            total -= sizes[one]
            del self._held[one]


def check_unchanged(stats: ClientStats, known: ClientStats | None) -> None:
    """Compares what an organization says of its corpus with what it said before, by fingerprints and counts.

    What was left out does not count: caches and binaries that lie beside the code may differ.

    Raises:
        RunError: they differ.
    """
    if known and replace(stats, drops=known.drops) != known:
        raise RunError(
            f"organizations.{stats.organization}: its files have changed since the run began, or are others on"
            " another node; make them the same everywhere and run the same command again"
        )
