"""The actors of every client, made when work needs them, and made again when they are lost.

An actor is a pure function of what it was made from, so a replica of a busy one, and the successor of a lost one, do
the same work to the same bits.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from raysim.cluster.backend import Backend, Hosted
from raysim.cluster.labels import ANYWHERE, Labels
from raysim.cluster.retries import Retrying
from raysim.cluster.scheduler import Scheduler
from raysim.core.errors import ActorLost

Make = Callable[[], Awaitable[Any]]
"""Makes one more actor of a client, or of the host of several, ready for work."""

TRUSTED_S = 1.0
"""How long an actor that has answered is taken to be there: to ask it costs as much as a short call."""


@dataclass
class _Replicas:
    """The actors of one client, or of the host of several."""

    make: Make
    idle: list[Any] = field(default_factory=list)
    busy: list[Any] = field(default_factory=list)
    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    answered_s: dict[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.idle) + len(self.busy)

    def __contains__(self, actor: object) -> bool:
        return any(actor is one for one in (*self.idle, *self.busy))

    def remove(self, actor: Any) -> None:
        self.idle = [one for one in self.idle if one is not actor]
        self.busy = [one for one in self.busy if one is not actor]
        self.answered_s.pop(id(actor), None)

    def put_back(self, actor: Any, answered: bool) -> None:
        """Adds one to the idle ones, unless it was discarded; `answered`: it has just done what it was asked for."""
        if actor in self:
            self.remove(actor)
            self.idle.append(actor)
            if answered:
                self.answered_s[id(actor)] = time.monotonic()

    def trusts(self, actor: Any) -> bool:
        """Whether it has answered so lately that it need not be asked."""
        return time.monotonic() - self.answered_s.get(id(actor), -math.inf) < TRUSTED_S


class ActorPool:
    """Hands out actors.

    Args:
        backend: where actors live.
        slots: how many actors work at once, and how many of one client.
        retrying: what happens to short calls whose actor is lost.
        gpu_slots: how many ranks train at once where GPUs have room for fewer than there are slots; None: all.
    """

    def __init__(
        self, backend: Backend, slots: Scheduler, retrying: Retrying, gpu_slots: Scheduler | None = None
    ) -> None:
        self.backend = backend
        self.slots = slots
        self.retrying = retrying
        self.gpu_slots = gpu_slots
        self._replicas: dict[str, _Replicas] = {}
        self._hosts: dict[str, str] = {}
        self._nodes: dict[str, Labels] = {}

    def register(self, client: str, make: Make, node: Labels = ANYWHERE) -> None:
        """Registers how actors of `client` are made; none is made before it is needed.

        Args:
            client: is registered.
            make: makes them.
            node: labels of the nodes that it is pinned to, with all work that is done for it.
        """
        self.register_hosted([client], client, make)
        self._nodes[client] = node

    def register_hosted(self, clients: Iterable[str], host: str, make: Make) -> None:
        """Registers clients that live together in each of the actors that `make` makes (see `Hosted`).

        An actor works for one of them at a time, and as many are made as one client may have.
        """
        self._replicas[host] = _Replicas(make)
        self._hosts |= dict.fromkeys(clients, host)

    def node_of(self, client: str) -> Labels:
        """Labels of the nodes that `client` is pinned to."""
        return self._nodes.get(client, ANYWHERE)

    @property
    def first(self) -> str:
        """The client that was registered first."""
        return next(iter(self._hosts))

    def __contains__(self, client: str) -> bool:
        return client in self._hosts

    @asynccontextmanager
    async def acquire(self, client: str, priority: float, width: int = 1) -> AsyncIterator[Any]:
        """An actor of `client` that nobody else has, and `width` slots for its work; one more is made if all are busy.

        An actor that is lost meanwhile, which `ActorLost` says, is discarded.
        """
        host = self._hosts[client]
        replicas = self._replicas[host]
        async with self.slots.acquire(host, priority, width):
            actor, answered = await self._own(host), False
            try:
                yield _seen_by(client, host, actor)
                answered = True
            except ActorLost:
                self._discard(host, actor)
                raise
            finally:
                replicas.put_back(actor, answered)

    @asynccontextmanager
    async def acquire_for_training(self, client: str, priority: float, ranks: int) -> AsyncIterator[Any]:
        """As `acquire`, with slots of the GPUs, too, where there are some.

        GPU slots come first: whoever waits for one keeps no slot from work that needs no GPU.
        """
        gpus = self.gpu_slots.acquire(self._hosts[client], priority, ranks) if self.gpu_slots else nullcontext()
        async with gpus, self.acquire(client, priority, ranks) as actor:
            yield actor

    async def call(self, client: str, method: str, *args: Any) -> Any:
        """A short call, which needs no slot, to any actor of `client`, even a busy one; tried again if it is lost."""
        host = self._hosts[client]

        async def attempt() -> Any:
            actor = await self._any(host)
            try:
                return await self.backend.call(_seen_by(client, host, actor), method, *args)
            except ActorLost:
                self._discard(host, actor)
                raise

        return await self.retrying.run(f"{method} at {client}", attempt)

    async def call_in_turn(self, client: str, method: str, *args: Any) -> Any:
        """As `call`, to an actor that nobody else has, in a slot: calls to many clients of a host share its actors."""

        async def attempt() -> Any:
            async with self.acquire(client, math.inf) as actor:
                return await self.backend.call(actor, method, *args)

        return await self.retrying.run(f"{method} at {client}", attempt)

    async def tell(self, host: str, method: str, *args: Any) -> None:
        """Calls every actor of `host` that is there; those that are made later know by what `register_hosted` got."""
        replicas = self._replicas[host]
        async with replicas.making:
            for actor in [*replicas.idle, *replicas.busy]:
                try:
                    await self.backend.call(actor, method, *args)
                except ActorLost:
                    self._discard(host, actor)

    async def call_ref(self, client: str, method: str, *args: Any) -> Any:
        """A reference to the result of a call to any actor of `client`; a lost one is not tried again.

        What a pinned client makes stays on its node, until somebody asks for it.
        """
        copied = not self.node_of(client)
        return await self.backend.call_ref(await self.any(client), method, *args, copied=copied)

    async def any(self, client: str) -> Any:
        """An actor of `client`: an idle one that answers, else a busy one, else a new one."""
        host = self._hosts[client]
        return _seen_by(client, host, await self._any(host))

    async def _any(self, host: str) -> Any:
        replicas = self._replicas[host]
        async with replicas.making:
            while replicas.idle:
                actor = replicas.idle[0]
                if await self.backend.ping(actor):
                    return actor
                self._discard(host, actor)
            if not replicas.busy:
                replicas.idle.append(await replicas.make())
                self._count(host)
            return (replicas.idle or replicas.busy)[0]

    async def _own(self, host: str) -> Any:
        """An actor of `host` that answers, taken from the idle ones or made."""
        replicas = self._replicas[host]
        async with replicas.making:  # one after the other: what `any` has just made may do
            while replicas.idle:
                actor = replicas.idle.pop(0)
                replicas.busy.append(actor)
                if replicas.trusts(actor) or await self.backend.ping(actor):
                    return actor
                self._discard(host, actor)
            actor = await replicas.make()
            replicas.busy.append(actor)
            self._count(host)
            return actor

    def _discard(self, host: str, actor: Any) -> None:
        replicas = self._replicas[host]
        if actor in replicas:
            replicas.remove(actor)
            self._count(host)
            self.backend.kill(actor)

    def _count(self, host: str) -> None:
        self.slots.set_actor_count(host, len(self._replicas[host]))


def _seen_by(client: str, host: str, actor: Any) -> Any:
    """What whoever calls `client` gets for an actor of `host`: the actor itself, where it hosts nobody else."""
    return actor if client == host else Hosted(actor, client)
