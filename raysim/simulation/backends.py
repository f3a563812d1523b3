"""Where sites and strategies live: in this process, or as Ray actors. The one place that makes actors.

Both backends run the same plain objects and give the same bits. Actors reserve no CPUs: the slots of
`raysim.simulation.slots` say how many of them work at once, so that a Ray Data job finds the CPUs free.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from raysim.errors import InputError, OutOfMemory, PartyLost, RaysimError, RunError

# Telemetry off, no warning about accelerator variables, no progress bars of Ray's own.
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}

_LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"

_CONNECT_TIMEOUT_S = 5.0

_SETTLE_TIMEOUT_S = 60.0
"""Ray 2.60 was seen to declare a node dead 14 s after its end."""


class Backend(Protocol):
    """Makes parties and calls them."""

    name: Literal["inline", "ray"]

    def spawn(self, plain_class: type, *args: Any) -> Any:
        """A party: an instance of `plain_class`, here or as an actor."""
        ...

    async def call(self, party: Any, method: str, *args: Any) -> Any:
        """The result of a method."""
        ...

    def stream(self, party: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        """The items of a generator method, as they come."""
        ...

    async def refer(self, party: Any, method: str, *args: Any) -> Any:
        """A reference to the result of a method, which does not come to the caller; a shared value.

        The result is then kept at the caller's node, too, and outlives the one of its party.
        """
        ...

    def share(self, value: Any) -> Any:
        """Puts a large value where every party reads it; pass the answer as an argument of its own."""
        ...

    async def answers(self, party: Any) -> bool:
        """Whether a party is there and takes calls."""
        ...

    def dismiss(self, party: Any) -> None:
        """Ends a party, which may be gone already."""
        ...

    def explain(self, error: Exception) -> Exception:
        """What an error of this backend means: the one that the work raised, or `PartyLost`."""
        ...

    async def settle(self) -> None:
        """Waits until it is known what was lost, so that nothing new is placed there."""
        ...

    def close(self) -> None:
        """Ends all parties, and whatever this backend started."""
        ...


class InlineBackend:
    """Everything in this process, one thing after the other."""

    name: Literal["inline", "ray"] = "inline"

    def spawn(self, plain_class: type, *args: Any) -> Any:
        return plain_class(*args)

    async def call(self, party: Any, method: str, *args: Any) -> Any:
        await asyncio.sleep(0)  # lets a Ctrl-C and other tasks in
        return getattr(party, method)(*args)

    async def stream(self, party: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        iterator: Iterator[Any] = getattr(party, method)(*args)
        for item in iterator:
            yield item
            await asyncio.sleep(0)

    async def refer(self, party: Any, method: str, *args: Any) -> Any:
        return getattr(party, method)(*args)

    def share(self, value: Any) -> Any:
        return value

    async def answers(self, party: Any) -> bool:
        return True

    def dismiss(self, party: Any) -> None:
        del party

    def explain(self, error: Exception) -> Exception:
        return error

    async def settle(self) -> None:
        """Nothing is lost here."""

    def close(self) -> None:
        """Nothing was started."""


class RayBackend:
    """Every party is a Ray actor: on a cluster by address, or on a Ray of our own in this machine."""

    name: Literal["inline", "ray"] = "ray"

    def __init__(self, address: str | None, num_cpus: int | None) -> None:
        import logging

        for name, value in _RAY_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if address and (Path.home() / ".ray" / "auth_token").is_file():
            # `ray start` asks for a token wherever there is one; a driver that connects must say that it has it.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies

        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        self._actors: list[Any] = []
        self._in_doubt = False
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
        if self._ours:
            if address:
                _require_listener(address)
            try:
                with _quiet():
                    if address:
                        ray.init(address=address, **options)
                    else:
                        # "local": else Ray would join a cluster that `ray start` left a note of, even one that is gone.
                        ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **options)
            except (ConnectionError, ValueError, RuntimeError) as error:
                where = f"--address {address}" if address else "embedded Ray"
                raise InputError(f"{where}: no Ray cluster answers: {str(error).splitlines()[0]}") from error

    def cpus(self) -> int:
        """CPUs of the cluster."""
        return int(self._ray.cluster_resources().get("CPU", 1))

    def spawn(self, plain_class: type, *args: Any) -> Any:
        # Spread, since what reserves no CPU would otherwise gather on one node.
        actor = self._ray.remote(num_cpus=0, scheduling_strategy="SPREAD")(plain_class).remote(*args)
        self._actors.append(actor)
        return actor

    async def call(self, party: Any, method: str, *args: Any) -> Any:
        try:
            return await getattr(party, method).remote(*args)
        except self._ray.exceptions.RayError as error:
            raise self.explain(error) from error

    async def stream(self, party: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        try:
            async for reference in getattr(party, method).options(num_returns="streaming").remote(*args):
                yield await reference
        except self._ray.exceptions.RayError as error:
            raise self.explain(error) from error

    async def refer(self, party: Any, method: str, *args: Any) -> Any:
        reference = getattr(party, method).remote(*args)
        await asyncio.to_thread(self._ray.wait, [reference], fetch_local=True)
        return reference

    def share(self, value: Any) -> Any:
        return self._ray.put(value)

    async def answers(self, party: Any) -> bool:
        try:
            await party.__ray_ready__.remote()
        except self._ray.exceptions.RayError:
            return False
        return True

    def dismiss(self, party: Any) -> None:
        self._actors = [actor for actor in self._actors if actor is not party]
        with suppress(self._ray.exceptions.RayError):  # it is gone
            self._ray.kill(party)

    def explain(self, error: Exception) -> Exception:
        """What an exception that Ray raised means.

        Whatever is lost with a process or a node - an actor, an object that it held, a worker of Ray Data - is a
        `PartyLost`; what a method raised comes out as it was raised.
        """
        exceptions = self._ray.exceptions
        cause = getattr(error, "cause", None)
        for found in (cause, error):
            if isinstance(found, RaysimError):
                return found
        for found in (cause, error):
            if isinstance(found, exceptions.OutOfMemoryError):
                return OutOfMemory(
                    "a node of the Ray cluster ran out of memory, so Ray ended a process on it; lower execution.slots"
                    " or execution.replicas (processes at once), or trainer.batch_size (memory of one)"
                )
            if isinstance(found, _lost(exceptions)):
                if getattr(found, "actor_init_failed", False):
                    return RunError(str(found))
                self._in_doubt |= isinstance(found, exceptions.ActorUnavailableError)
                return PartyLost(_what_was_lost(found, exceptions))
        return error

    async def settle(self) -> None:
        """Asks every node for a sign of life where an actor could not be reached: Ray takes a while to miss a node."""
        if not self._in_doubt:
            return
        self._in_doubt = False
        strategies = self._ray.util.scheduling_strategies
        signs = [
            self._ray.remote(num_cpus=0, max_retries=0)(_sign_of_life)
            .options(scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote()
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        await asyncio.wait([asyncio.ensure_future(_outcome(sign)) for sign in signs], timeout=_SETTLE_TIMEOUT_S)

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors.clear()
        if self._ours:
            self._ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Has a Ray that is started meanwhile log in its C++ parts what is fatal alone, on the terminal as in files.

    What a run needs to know is raised. The rest would come between the lines of the progress display, as would the news
    that a level was set. Whoever set one gets what it asks for.
    """
    if _LOG_LEVEL in os.environ:
        yield
        return
    sys.stderr.flush()
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.environ[_LOG_LEVEL] = "fatal"
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
        del os.environ[_LOG_LEVEL]


def _require_listener(address: str) -> None:
    """Ray waits for minutes for a cluster that is not there; a look at its port tells at once.

    Raises:
        InputError: nothing listens at the address; one without a port, such as ``auto``, is left to Ray.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not (separator and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise InputError(f"--address {address}: no Ray cluster answers there: {error.strerror or error}") from None


def _what_was_lost(error: Exception, exceptions: Any) -> str:
    if isinstance(error, exceptions.ObjectLostError):
        return "something that it needs was lost with the node that held it"
    if "node has died" in str(error) or isinstance(error, exceptions.NodeDiedError):
        return "the node that it ran on was lost"
    if isinstance(error, exceptions.ActorUnavailableError):
        return "the process that did it cannot be reached"
    return (
        "the process that did it ended unexpectedly; if the system ended it for want of memory, lower"
        " trainer.batch_size, or execution.slots and execution.replicas"
    )


def _sign_of_life() -> None:
    """A task that says that its node is there."""


async def _outcome(reference: Any) -> None:
    with suppress(Exception):  # whatever became of it, it is decided
        await reference


def _lost(exceptions: Any) -> tuple[type[Exception], ...]:
    return (
        exceptions.RayActorError,
        exceptions.NodeDiedError,
        exceptions.WorkerCrashedError,
        exceptions.ObjectLostError,
    )
