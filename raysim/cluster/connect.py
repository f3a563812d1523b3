"""Ray is started in this machine, or a cluster is joined."""

import functools
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysim.cluster.untyped_ray import untyped_ray
from raysim.core.errors import InputError, RunError, os_error
from raysim.core.signals import interrupt, on_interrupt

# Telemetry off, no warning about accelerator variables, no progress bars of Ray's own.
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}

_LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"

_CONNECT_TIMEOUT_S = 5.0


_OWN = "RAY_ADDRESS"

SESSION = "RAYSIM_RAY_SESSION"
"""Says to a job which session of Ray it was submitted to. Where several Rays run, Ray may name it another's address."""


@dataclass(frozen=True)
class ClusterAddress:
    """Where to join a Ray cluster.

    Attributes:
        address: ``HOST:PORT`` or ``auto``.
        origin: the option or environment variable that says so.
    """

    address: str
    origin: str

    def __str__(self) -> str:
        return f"{self.origin} {self.address}"


def cluster_address(given: str | None) -> ClusterAddress | None:
    """The cluster to join: the one that is given, else that of ``RAY_ADDRESS``, which Ray sets in its jobs.

    Returns:
        the address; None: a Ray of our own, which ``local`` asks for.

    Raises:
        InputError: the address is one of Ray Client or of a job server.
    """
    found = ClusterAddress(given, "--address") if given else ClusterAddress(os.environ.get(_OWN, "").strip(), _OWN)
    if found.address in ("", "local"):
        return None
    if "://" in found.address:
        raise InputError(
            f"{found}: a run joins a cluster at HOST:PORT, or auto, from a machine of the cluster; from elsewhere it is"
            " submitted to the head's job server: raysim submit EXPERIMENT --address http://HEAD:8265 --out FOLDER"
        )
    return found


def connect(place: ClusterAddress | None, num_cpus: int | None) -> tuple[Any, bool]:
    """Ray, connected to the cluster at `place`, or started in this machine; and whether it was not before.

    Raises:
        InputError: no Ray cluster answers, or it does not know our token; there is no place for a Ray of our own; or
            there are no certificates where Ray is to encrypt.
        RunError: a Ray of our own does not start.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if _encrypts():
        _certificates()  # Ray itself would not say what is missing
    if place:
        agree_with(place)  # before Ray reads how it is to behave
    ray = untyped_ray()
    if ray.is_initialized():
        return ray, False
    if place:
        _join(ray, place)
    else:
        _start(ray, num_cpus)
    return ray, True


UNAUTHENTICATED = (
    "it asks for a token, and there is none here, or another: what `ray get-auth-token` prints on its head belongs into"
    " ~/.ray/auth_token, or into RAY_AUTH_TOKEN with RAY_AUTH_MODE=token"
)


def _join(ray: Any, place: ClusterAddress) -> None:
    try:
        joined = _init(ray, address=place.address)
    except Exception as error:  # Ray raises many kinds, and bare Exception; each means that the cluster cannot be had
        if "AuthenticationError" in f"{error!r} {error.__cause__!r}":
            raise InputError(f"{place}: {UNAUTHENTICATED}") from error
        raise InputError(f"{place}: no Ray cluster answers: {reason_of(error)}") from error
    wanted, found = os.environ.get(SESSION), Path(joined.address_info["session_dir"]).name
    if wanted and wanted != found:
        ray.shutdown()
        raise InputError(
            f"{place}: Ray says that its job's cluster is there, and there is another ({found} in place of {wanted});"
            " where several Rays run on one machine, start each by `ray start` with a --temp-dir of its own"
        )


def _start(ray: Any, num_cpus: int | None) -> None:
    """Starts a Ray of our own, whose ports are all drawn, so that it takes none that a neighbour needs."""
    parameter = ray._private.parameter
    original = parameter.RayParams
    parameter.RayParams = functools.partial(original, dashboard_agent_listen_port=0)  # `ray.init` has no option for it
    try:
        # "local": else Ray would join a cluster that `ray start` left a note of, even one that is gone.
        _init(ray, address="local", num_cpus=num_cpus, include_dashboard=False)
    except Exception as error:  # Ray raises many kinds, and bare Exception if a node takes too long to start
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            found = os_error(error)
            raise type(found)(
                f"embedded Ray: {found}; RAY_TMPDIR says where it lays its files, for example"
                f" RAY_TMPDIR=/tmp/ray-{os.getuid()}"
            ) from error
        raise RunError(
            f"embedded Ray: it does not start: {reason_of(error)}; run the same command again when the machine has less"
            " to do, or name a cluster by --address"
        ) from error
    finally:
        parameter.RayParams = original


def _init(ray: Any, **arguments: Any) -> Any:
    with _quiet(), on_interrupt(interrupt):  # which `ray.init` would leave otherwise
        return ray.init(logging_level=logging.ERROR, log_to_driver=False, configure_logging=True, **arguments)


def reason_of(error: Exception) -> str:
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


def agree_with(place: ClusterAddress) -> None:
    """Asks whether a cluster is there, and has this process bring a token exactly where it wants one.

    Ray itself waits for many minutes for a cluster that is not there, or that does not know the token. And it takes a
    driver with a token, such as an earlier Ray left in the home folder, into a cluster without; their actors then
    cannot answer it.

    Raises:
        InputError: nothing at the address answers as Ray does, or it does not know our token, or one of the two does
            not know the other's certificate. What is no plain host and port, such as ``auto``, is left to Ray.
    """
    host, _, port = place.address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return
    from grpc import StatusCode

    code, details = _ask(place.address)
    if code == StatusCode.UNAUTHENTICATED:
        if os.environ.setdefault("RAY_AUTH_MODE", "token").lower() == "token":
            code, details = _ask(place.address, token())
        if code == StatusCode.UNAUTHENTICATED:
            raise InputError(f"{place}: {UNAUTHENTICATED}")
    else:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    if code != StatusCode.OK:
        reason = details.rpartition("last error: ")[2] or code.name
        raise InputError(
            f"{place}: no Ray cluster answers there ({reason}); give the address that `ray start --head` printed; Ray's"
            f" own default port is 6379; {_UNKNOWN if _encrypts() else _UNENCRYPTED}"
        )


_UNENCRYPTED = "one that encrypts asks for RAY_USE_TLS=1 and certificates here, too"
_UNKNOWN = "RAY_USE_TLS is set here: its nodes must encrypt, too, with certificates of the same authority"
_CERTIFICATES = ("RAY_TLS_CA_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT")
_NAMED = f"{', '.join(_CERTIFICATES[:2])} and {_CERTIFICATES[2]} each name a PEM file"


def _encrypts() -> bool:
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _certificates() -> list[bytes]:
    """The authority's certificate, our key and our certificate, where Ray reads them."""
    found = []
    for name in _CERTIFICATES:
        try:
            found.append(Path(os.environ[name]).read_bytes())
        except KeyError:
            raise InputError(f"RAY_USE_TLS: {name} is not set; {_NAMED}") from None
        except OSError as error:
            raise InputError(f"RAY_USE_TLS: {name}: {error.filename} cannot be read: {error.strerror}") from None
    return found


def _channel(address: str) -> Any:
    import grpc

    options = [("grpc.enable_http_proxy", 0)]
    if not _encrypts():
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*_certificates()), options)


def _ask(address: str, token: str = "") -> tuple[Any, str]:
    """How a server answers when it is asked whether a Ray lives there: gRPC's status, and more of it in words."""
    with _channel(address) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")
        header = (("authorization", f"Bearer {token}"),) if token else None
        asked = ask.future(b"", timeout=_CONNECT_TIMEOUT_S, metadata=header)
        return asked.code(), asked.details() or ""


def token() -> str:
    """The token that Ray would bring; empty: there is none that a header can hold."""
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    with suppress(OSError, ValueError):
        path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
        token = token or path.read_text(encoding="ascii").strip()
    return token if token.isprintable() else ""
