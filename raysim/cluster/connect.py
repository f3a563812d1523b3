"""Ray is started in this machine, or a cluster is joined."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from raysim.cluster.untyped_ray import untyped_ray
from raysim.core.errors import InputError

# Telemetry off, no warning about accelerator variables, no progress bars of Ray's own.
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}

_LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"

_CONNECT_TIMEOUT_S = 5.0


def connect(address: str | None, num_cpus: int | None) -> tuple[Any, bool]:
    """Ray, connected to the cluster at `address`, or started in this machine; and whether it was not before.

    Raises:
        InputError: no Ray cluster answers, or it does not know our token.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address:
        agree_with(address)  # before Ray reads how it is to behave
    ray = untyped_ray()
    if ray.is_initialized():
        return ray, False
    if address:
        _join(ray, address)
    else:
        # "local": else Ray would join a cluster that `ray start` left a note of, even one that is gone.
        try:
            _init(ray, address="local", num_cpus=num_cpus, include_dashboard=False)
        except _REFUSALS as error:
            raise InputError(f"embedded Ray: it does not start: {_reason(error)}") from error
    return ray, True


_REFUSALS = (ConnectionError, ValueError, RuntimeError)

_UNAUTHENTICATED = (
    "it asks for a token, and there is none here, or another: what `ray get-auth-token` prints on its head belongs into"
    " ~/.ray/auth_token, or into RAY_AUTH_TOKEN with RAY_AUTH_MODE=token"
)


def _join(ray: Any, address: str) -> None:
    try:
        _init(ray, address=address)
    except (*_REFUSALS, ray.exceptions.AuthenticationError) as error:
        if "AuthenticationError" in f"{error!r} {error.__cause__!r}":
            raise InputError(f"--address {address}: {_UNAUTHENTICATED}") from error
        raise InputError(f"--address {address}: no Ray cluster answers: {_reason(error)}") from error


def _init(ray: Any, **arguments: Any) -> None:
    with _quiet():
        ray.init(logging_level=logging.ERROR, log_to_driver=False, configure_logging=True, **arguments)


def _reason(error: Exception) -> str:
    """An error and what it came from, which Ray leaves to the traceback, in a line each."""
    causes = [str(cause).strip().splitlines() for cause in (error, error.__cause__) if cause]
    return "; ".join(lines[-1 if "Traceback" in lines[0] else 0] for lines in causes if lines)


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


def agree_with(address: str) -> None:
    """Asks whether a cluster is there, and has this process bring a token exactly where it wants one.

    Ray itself waits for many minutes for a cluster that is not there. And it takes a driver with a token, such as an
    earlier Ray left in the home folder, into a cluster without; their actors then cannot answer it.

    Raises:
        InputError: nothing at the address talks gRPC, as Ray does. What is no plain host and port, such as ``auto``,
            and a Ray with TLS are left to Ray.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host or os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    import grpc

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        asked = channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive").future(b"", timeout=_CONNECT_TIMEOUT_S)
        code, details = asked.code(), asked.details()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        reason = details.rpartition("last error: ")[2]
        raise InputError(
            f"--address {address}: no Ray cluster answers there ({reason}); give the address that `ray start --head`"
            " printed; Ray's own default port is 6379"
        )
    os.environ.setdefault("RAY_AUTH_MODE", "token" if code == grpc.StatusCode.UNAUTHENTICATED else "disabled")
