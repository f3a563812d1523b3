"""Where sites and strategies live: in this process, or as Ray actors. The one place that makes actors.

Both backends run the same plain objects and give the same bits. Actors reserve no CPUs: the slots of
`raysim.simulation.slots` say how many of them work at once, so that a Ray Data job finds the CPUs free.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

from raysim.errors import InputError, RaysimError, RunError

# Telemetry off, no warning about accelerator variables, no progress bars of Ray's own.
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


_CONNECT_TIMEOUT_S = 5.0


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

    def refer(self, party: Any, method: str, *args: Any) -> Any:
        """A reference to the result of a method, which does not come to the caller; a shared value."""
        ...

    def share(self, value: Any) -> Any:
        """Puts a large value where every party reads it; pass the answer as an argument of its own."""
        ...

    def dismiss(self, party: Any) -> None:
        """Ends a party."""
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

    def refer(self, party: Any, method: str, *args: Any) -> Any:
        return getattr(party, method)(*args)

    def share(self, value: Any) -> Any:
        return value

    def dismiss(self, party: Any) -> None:
        del party

    def close(self) -> None:
        """Nothing was started."""


class RayBackend:
    """Every party is a Ray actor: on a cluster by address, or on a Ray of our own in this machine."""

    name: Literal["inline", "ray"] = "ray"

    def __init__(self, address: str | None, num_cpus: int | None) -> None:
        import logging
        import os

        for name, value in _RAY_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if address and (Path.home() / ".ray" / "auth_token").is_file():
            # `ray start` asks for a token wherever there is one; a driver that connects must say that it has it.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        import ray
        import ray.exceptions

        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        self._actors: list[Any] = []
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
        if self._ours:
            if address:
                _require_listener(address)
            try:
                if address:
                    ray.init(address=address, **options)
                else:
                    ray.init(num_cpus=num_cpus, include_dashboard=False, **options)
            except (ConnectionError, ValueError, RuntimeError) as error:
                where = f"--address {address}" if address else "embedded Ray"
                raise InputError(f"{where}: no Ray cluster answers: {str(error).splitlines()[0]}") from error

    def cpus(self) -> int:
        """CPUs of the cluster."""
        return int(self._ray.cluster_resources().get("CPU", 1))

    def spawn(self, plain_class: type, *args: Any) -> Any:
        actor = self._ray.remote(num_cpus=0)(plain_class).remote(*args)
        self._actors.append(actor)
        return actor

    async def call(self, party: Any, method: str, *args: Any) -> Any:
        try:
            return await getattr(party, method).remote(*args)
        except self._ray.exceptions.RayError as error:
            raise _plain(error, self._ray) from error

    async def stream(self, party: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        try:
            async for reference in getattr(party, method).options(num_returns="streaming").remote(*args):
                yield await reference
        except self._ray.exceptions.RayError as error:
            raise _plain(error, self._ray) from error

    def refer(self, party: Any, method: str, *args: Any) -> Any:
        return getattr(party, method).remote(*args)

    def share(self, value: Any) -> Any:
        return self._ray.put(value)

    def dismiss(self, party: Any) -> None:
        self._actors.remove(party)
        self._ray.kill(party)

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors.clear()
        if self._ours:
            self._ray.shutdown()


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


def _plain(error: Exception, ray: Any) -> Exception:
    """The error that was raised inside an actor, or a `RunError` that says that the actor is gone."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, RaysimError):
        return cause
    if isinstance(error, ray.exceptions.RayActorError):
        return RunError(f"an actor died: {str(error).splitlines()[0]}; if memory ran out, lower trainer.batch_size")
    return error
