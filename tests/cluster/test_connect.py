"""Whether a Ray cluster answers at an address is told before Ray is asked, which would wait for many minutes."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from raysim.cluster.connect import agree_with
from raysim.core.errors import InputError


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
        agree_with(f"127.0.0.1:{port}")


def test_nothing_listens() -> None:
    with silent_server() as port:
        pass
    with pytest.raises(InputError, match="refused"):
        agree_with(f"127.0.0.1:{port}")


def test_ray_answers(ray_session: None) -> None:
    import ray

    agree_with(ray.get_runtime_context().gcs_address)


@pytest.mark.slow
@pytest.mark.parametrize("token", [None, "0123456789abcdef" * 4])
def test_a_cluster_that_asks_for_another_token(ray_session: None, tmp_path: Path, token: str | None) -> None:
    import ray

    write_token(tmp_path, token)
    ended = join(ray.get_runtime_context().gcs_address, tmp_path)
    assert "InputError" in ended.stderr
    assert "it asks for a token" in ended.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["disabled", "token"])
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


def join(address: str, home: Path) -> "subprocess.CompletedProcess[str]":
    """Joins a cluster in a process of its own, which says "answered" once an actor there has."""
    code = """
import sys
from raysim.cluster.connect import connect
ray, _ = connect(sys.argv[1], None)
actor = ray.remote(num_cpus=0)(type("Actor", (), {"answer": lambda self: "answered"})).remote()
print(ray.get(actor.answer.remote(), timeout=60))
"""
    environment = {**without_tokens(), "HOME": str(home)}
    return subprocess.run([sys.executable, "-c", code, address], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("address", ["auto", "somewhere"])
def test_an_address_without_a_port_is_left_to_ray(address: str) -> None:
    agree_with(address)
