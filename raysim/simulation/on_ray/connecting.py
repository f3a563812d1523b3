"""Ray is started in this machine, or a cluster is joined."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from raysim.errors import InputError
from raysim.simulation.on_ray.untyped import untyped_ray

# Telemetry off, no warning about accelerator variables, no progress bars of Ray's own.
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}

_LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"

_AUTH_MODE = "RAY_AUTH_MODE"

_CONNECT_TIMEOUT_S = 5.0

_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of HTTP/2 says first (RFC 9113, section 3.4), with a frame of no settings."""


def connect(address: str | None, num_cpus: int | None) -> tuple[Any, bool]:
    """Ray, connected to the cluster at `address`, or started in this machine; and whether it was not before.

    Raises:
        InputError: no Ray cluster answers, or it does not know our token.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address and _AUTH_MODE not in os.environ:
        _agree_on_tokens(address)
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


def _agree_on_tokens(address: str) -> None:
    """Has this process bring a token exactly where the cluster at `address` asks for one, as `ray start` may.

    Ray takes a driver with a token into a cluster without; their actors then cannot answer it.
    """
    host, separator, port = address.rpartition(":")
    if not (separator and port.isdigit()) or "//" in host:
        return
    import grpc

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        asked = channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive").future(b"", timeout=_CONNECT_TIMEOUT_S)
        code = asked.code()
    if code != grpc.StatusCode.UNAVAILABLE:  # that nobody is there is told later
        os.environ[_AUTH_MODE] = "token" if code == grpc.StatusCode.UNAUTHENTICATED else "disabled"


def _join(ray: Any, address: str) -> None:
    require_server(address)
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


def require_server(address: str) -> None:
    """Ray waits for many minutes for a cluster that is not there; a look at its port tells at once.

    Raises:
        InputError: nothing at the address talks HTTP/2, as Ray does; one without a port, such as ``auto``, is left to
            Ray.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not (separator and port.isdigit()):
        return
    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S) as connection:
            connection.sendall(_HELLO)
            answer = connection.recv(9)
    except OSError as error:
        raise InputError(f"--address {address}: no Ray cluster answers there: {error.strerror or error}") from None
    # A frame of settings, or the alert of a server that wants TLS.
    if answer[3:4] != b"\x04" and answer[:1] != b"\x15":
        raise InputError(f"--address {address}: what answers there is no Ray cluster; Ray's own default port is 6379")
