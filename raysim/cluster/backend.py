"""Where clients and strategies live: in this process, or as Ray actors.

Both backends run the same plain objects and give the same bits.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from raysim.cluster.labels import ANYWHERE, Labels
from raysim.training.ranks import NO_RANK_LAUNCHER, RankLauncher
from raysim.training.request import TrainerSettings


@dataclass(frozen=True)
class Shared:
    """An array that an actor made.

    Attributes:
        value: it, here, read-only.
        handle: hands it to other actors without a copy, as what `Backend.share` answers.
    """

    value: npt.NDArray[Any]
    handle: Any


@dataclass(frozen=True)
class Hosted:
    """One of those that live in an actor together, their host: a backend calls it as it calls an actor.

    Attributes:
        host: an actor whose methods ``call`` and ``stream`` get a name, the name of a method and its arguments.
        name: of this one.
    """

    host: Any
    name: str


def addressed(actor: Any, method: str, args: tuple[Any, ...], by: str = "call") -> tuple[Any, str, tuple[Any, ...]]:
    """Whom to call so that `method` of `actor` runs, by what, and with which arguments.

    Args:
        actor: an actor, or one of those that an actor hosts.
        method: of it.
        args: of the method; large ones stay arguments of their own.
        by: the method of a host that hands calls on.
    """
    return (actor.host, by, (actor.name, method, *args)) if isinstance(actor, Hosted) else (actor, method, args)


class Backend(Protocol):
    """Makes actors and calls them, and whom they host."""

    name: Literal["inline", "ray"]
    embedded: bool
    """Whether it is a Ray of our own, in this machine alone."""

    def cpus(self, node: Labels = ANYWHERE) -> int:
        """CPUs of all nodes that have the labels `node`."""
        ...

    def launcher(self, settings: TrainerSettings, node: Labels = ANYWHERE) -> RankLauncher:
        """What a client starts ranks with, where the trainer has these settings, on nodes that have the labels."""
        ...

    def spawn(self, plain_class: type, *args: Any, node: Labels = ANYWHERE) -> Any:
        """Makes an object of `plain_class`, in this process or as a Ray actor on a node that has the labels.

        Raises:
            ActorLost: there is no such node now.
        """
        ...

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        """The result of a method."""
        ...

    def stream(self, actor: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        """The items of a generator method, as they come; arrays as `Shared`."""
        ...

    async def call_ref(self, actor: Any, method: str, *args: Any, copied: bool = True) -> Any:
        """A reference to the result of a method, which does not come to the caller; a shared value.

        With `copied`, the result is kept at the caller's node, too, and outlives that of the actor.
        """
        ...

    def share(self, value: Any) -> Any:
        """Puts a large value where every actor reads it; pass the answer as an argument of its own.

        Raises:
            RunError: there is no room for it.
        """
        ...

    async def ping(self, actor: Any) -> bool:
        """Whether an actor is there, takes calls, and lives on a node that is not about to go."""
        ...

    def kill(self, actor: Any) -> None:
        """Ends an actor, which may be gone already."""
        ...

    def translate_error(self, error: Exception) -> Exception:
        """What an error of this backend means: the one that the work raised, or `ActorLost`."""
        ...

    async def await_failure_detection(self) -> None:
        """Waits until it is known what was lost, so that nothing new is placed there."""
        ...

    def close(self) -> None:
        """Ends all actors, and whatever this backend started."""
        ...


def _shared(array: npt.NDArray[Any]) -> Shared:
    """An array that lies in this process; read-only from now on, as one that came from another would be."""
    array.flags.writeable = False
    return Shared(array, array)


class InlineBackend:
    """Everything in this process, one thing after the other."""

    name: Literal["inline", "ray"] = "inline"
    embedded = False

    def cpus(self, node: Labels = ANYWHERE) -> int:
        del node
        return os.cpu_count() or 1

    def launcher(self, settings: TrainerSettings, node: Labels = ANYWHERE) -> RankLauncher:
        return NO_RANK_LAUNCHER

    def spawn(self, plain_class: type, *args: Any, node: Labels = ANYWHERE) -> Any:
        return plain_class(*args)

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        await asyncio.sleep(0)  # lets a Ctrl-C and other tasks in
        actor, method, args = addressed(actor, method, args)
        return getattr(actor, method)(*args)

    async def stream(self, actor: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        actor, method, args = addressed(actor, method, args, "stream")
        iterator: Iterator[Any] = getattr(actor, method)(*args)
        for item in iterator:
            yield _shared(item) if isinstance(item, np.ndarray) else item
            await asyncio.sleep(0)

    async def call_ref(self, actor: Any, method: str, *args: Any, copied: bool = True) -> Any:
        actor, method, args = addressed(actor, method, args)
        return getattr(actor, method)(*args)

    def share(self, value: Any) -> Any:
        return value

    async def ping(self, actor: Any) -> bool:
        return True

    def kill(self, actor: Any) -> None:
        del actor

    def translate_error(self, error: Exception) -> Exception:
        return error

    async def await_failure_detection(self) -> None:
        """Nothing is lost here."""

    def close(self) -> None:
        """Nothing was started."""
