"""Whether a Ray cluster answers at an address is told before Ray is asked, which would wait for many minutes."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from certificates import write_certificates

from raysim.cluster.connect import ClusterAddress, agree_with, cluster_address, connect
from raysim.core.errors import InputError


def at(address: str) -> ClusterAddress:
    return ClusterAddress(address, "--address")


@contextmanager
def web_server() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def closing_server() -> Iterator[int]:
    """Takes one connection, reads what it says and hangs up."""

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.recv(1024)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@contextmanager
def silent_server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("server", "words"),
    [(web_server, "default port is 6379"), (closing_server, "closed"), (silent_server, "Deadline Exceeded")],
)
def test_what_answers_must_be_ray(server: Any, words: str) -> None:
    with server() as port, pytest.raises(InputError, match=words):
        agree_with(at(f"127.0.0.1:{port}"))


def test_nothing_listens() -> None:
    with silent_server() as port:
        pass
    with pytest.raises(InputError, match="refused"):
        agree_with(at(f"127.0.0.1:{port}"))


def test_ray_answers(ray_session: None) -> None:
    import ray

    agree_with(at(ray.get_runtime_context().gcs_address))


@pytest.mark.slow
@pytest.mark.parametrize("token", [None, "0123456789abcdef" * 4])
def test_a_cluster_that_asks_for_another_token(ray_session: None, tmp_path: Path, token: str | None) -> None:
    import ray

    write_token(tmp_path, token)
    ended = join(ray.get_runtime_context().gcs_address, tmp_path)
    assert "InputError" in ended.stderr
    assert "it asks for a token" in ended.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [pytest.param("disabled", marks=pytest.mark.stress), "token"])
def test_a_token_is_brought_where_the_cluster_asks_for_one(tmp_path: Path, mode: str) -> None:
    """With one at hand either way: Ray writes it when it starts a cluster of its own."""
    write_token(tmp_path, "0123456789abcdef" * 4)
    start = """
import ray
print(ray.init(address="local", num_cpus=1, include_dashboard=False).address_info["gcs_address"], flush=True)
input()
"""
    environment = {**without_tokens(), "HOME": str(tmp_path), "RAY_AUTH_MODE": mode}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", start], env=environment, text=True, **pipes) as cluster:
        assert cluster.stdout
        ended = join(cluster.stdout.readline().strip(), tmp_path)
        cluster.communicate("\n")
    assert ended.stdout.strip() == "answered", ended.stderr


def without_tokens() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}


def write_token(home: Path, token: str | None) -> None:
    (home / ".ray").mkdir()
    if token:
        (home / ".ray" / "auth_token").write_text(token)


def join(address: str, home: Path, there: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Joins a cluster in a process of its own, which says "answered" once an actor there has."""
    code = """
import sys
from raysim.cluster.connect import cluster_address, connect
ray, _ = connect(cluster_address(sys.argv[1]), None)
actor = ray.remote(num_cpus=0)(type("Actor", (), {"answer": lambda self: "answered"})).remote()
print(ray.get(actor.answer.remote(), timeout=60))
"""
    environment = {**(there or without_tokens()), "HOME": str(home)}
    return subprocess.run([sys.executable, "-c", code, address], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("address", ["auto", "somewhere"])
def test_an_address_without_a_port_is_left_to_ray(address: str) -> None:
    agree_with(at(address))


@contextmanager
def grpc_server(status: Any) -> Iterator[str]:
    """Answers every call with `status`; None: it knows no call."""
    import grpc

    class Refuse(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            def refuse(_: bytes, context: Any) -> bytes:
                context.abort(status, "no")
                raise AssertionError

            return grpc.unary_unary_rpc_method_handler(refuse) if status else None

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Refuse()])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("token", ["0f" * 32, "", "no header can hold\x00this"])
@pytest.mark.parametrize("mode", ["token", "disabled", None])
def test_a_server_that_knows_no_token_is_given_up_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str | None, token: str
) -> None:
    import grpc

    monkeypatch.setenv("HOME", str(tmp_path))  # whose token is nobody's
    for name, value in {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": token}.items():
        monkeypatch.setenv(name, value) if value and "\x00" not in value else monkeypatch.delenv(name, raising=False)
    if "\x00" in token:
        write_token(tmp_path, token)
    with grpc_server(grpc.StatusCode.UNAUTHENTICATED) as address, pytest.raises(InputError) as raised:
        agree_with(at(address))
    assert str(raised.value).startswith(f"--address {address}: it asks for a token, and there is none here")


def test_a_grpc_server_of_another_kind_is_no_ray() -> None:
    import grpc

    for status in (None, grpc.StatusCode.PERMISSION_DENIED):
        with grpc_server(status) as address, pytest.raises(InputError, match="no Ray cluster answers there"):
            agree_with(at(address))


@contextmanager
def encrypting_server(environment: dict[str, str]) -> Iterator[str]:
    """Answers every call of who has a certificate of the same authority, as a Ray with TLS does."""
    import grpc

    class Answer(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")

    root, key, certificate = (
        Path(environment[name]).read_bytes()
        for name in ("RAY_TLS_CA_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT")
    )
    credentials = grpc.ssl_server_credentials([(key, certificate)], root, require_client_auth=True)
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Answer()])
    address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


def test_a_ray_that_encrypts_answers_who_has_its_authoritys_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, others = (write_certificates(tmp_path / name) for name in ("ours", "others"))
    with encrypting_server(ours) as address:
        with pytest.raises(InputError, match="one that encrypts asks for RAY_USE_TLS=1 and certificates here, too"):
            agree_with(at(address))
        for name, value in others.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match="with certificates of the same authority"):
            agree_with(at(address))
        for name, value in ours.items():
            monkeypatch.setenv(name, value)
        agree_with(at(address))


def test_a_certificate_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no cluster is to be joined: a Ray of our own would not start, and not say why."""
    for name, value in write_certificates(tmp_path / "ours").items():
        monkeypatch.setenv(name, value)
    (tmp_path / "ours" / "RAY_TLS_SERVER_KEY.pem").unlink()
    with pytest.raises(
        InputError, match=r"^RAY_USE_TLS: RAY_TLS_SERVER_KEY: .*/RAY_TLS_SERVER_KEY.pem cannot be read: No"
    ):
        connect(None, 1)
    monkeypatch.delenv("RAY_TLS_SERVER_KEY")
    with pytest.raises(
        InputError, match=r"^RAY_USE_TLS: RAY_TLS_SERVER_KEY is not set; RAY_TLS_CA_CERT, RAY_TLS_SERVER_KEY and"
    ):
        agree_with(at("127.0.0.1:1"))


@pytest.mark.parametrize(
    "address", ["ray://10.0.0.1:10001", "http://10.0.0.1:8265", "https://ray.example", "redis://x"]
)
def test_an_address_of_another_kind_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    told = r"joins a cluster at HOST:PORT, or auto.* raysim submit EXPERIMENT --address http://HEAD:8265 --out"
    with pytest.raises(InputError, match=rf"^--address {address}: .*{told}"):
        cluster_address(address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=rf"^RAY_ADDRESS {address}: .*{told}"):
        cluster_address(None)
    assert cluster_address("local") is None


def test_the_address_is_the_given_one_then_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", " 10.0.0.2:6379\n")
    assert cluster_address("10.0.0.1:6379") == ClusterAddress("10.0.0.1:6379", "--address")
    assert cluster_address(None) == ClusterAddress("10.0.0.2:6379", "RAY_ADDRESS")
    for own in ("local", "", None):
        monkeypatch.setenv("RAY_ADDRESS", own) if own is not None else monkeypatch.delenv("RAY_ADDRESS")
        assert cluster_address(None) is None


def test_a_cluster_of_the_environment_is_joined(ray_session: None) -> None:
    """By a process of its own, which starts no Ray: it sees the cluster's actors, and leaves it as it was."""
    import ray

    code = """
import os, psutil
from raysim.cluster.ray_backend import RayBackend
backend = RayBackend(None, None)
print(backend.embedded, backend._ray.get_runtime_context().gcs_address)
print([p.name() for p in psutil.Process().children(recursive=True)])
backend.close()
"""
    address = ray.get_runtime_context().gcs_address
    environment = {**os.environ, "RAY_ADDRESS": address}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines() == [f"False {address}", "[]"], ended.stderr


def test_a_job_joins_no_cluster_but_its_own(ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray may name a job the address of whichever Ray it finds on the machine."""
    import ray

    address = ray.get_runtime_context().gcs_address
    own = Path(ray.get_runtime_context().worker.node.get_session_dir_path()).name
    monkeypatch.setenv("RAYSIM_RAY_SESSION", own)
    assert join(address, tmp_path, os.environ).stdout.strip() == "answered"
    monkeypatch.setenv("RAYSIM_RAY_SESSION", "session_of_another")
    told = join(address, tmp_path, os.environ).stderr.splitlines()[-1]
    assert "InputError" in told
    assert f"{own} in place of session_of_another); where several Rays run" in told


@pytest.mark.slow
def test_a_ray_of_our_own_takes_no_fixed_port_and_leaves_signals_alone(tmp_path: Path) -> None:
    """Dashboard agents listen at 52365 unless they are told another port: two would be in each other's way."""
    code = """
import signal, sys
import psutil
from raysim.cluster.connect import connect
ray, _ = connect(None, 1)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert ray.get(ray.remote(lambda: 3).remote()) == 3
family = psutil.Process().children(recursive=True)
print(*(c.laddr.port for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN))
print(*(a for p in family for a in p.cmdline() if "listen" in a and "port" in a))
ray.shutdown()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    ports, arguments = ended.stdout.splitlines()
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert min(map(int, ports.split())) >= first
    assert "52365" not in ports.split()
    assert "52365" not in arguments
