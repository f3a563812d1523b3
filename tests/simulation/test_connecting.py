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

from raysim.errors import InputError
from raysim.simulation.on_ray.connecting import require_server


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
    [(web_server, "no Ray cluster; Ray's own"), (closing_server, "no Ray cluster"), (silent_server, "timed out")],
)
def test_what_answers_must_be_ray(server: Any, words: str) -> None:
    with server() as port, pytest.raises(InputError, match=words):
        require_server(f"127.0.0.1:{port}")


def test_nothing_listens() -> None:
    with silent_server() as port:
        pass
    with pytest.raises(InputError, match="refused"):
        require_server(f"127.0.0.1:{port}")


def test_ray_answers(ray_session: None) -> None:
    import ray

    require_server(ray.get_runtime_context().gcs_address)


@pytest.mark.slow
@pytest.mark.parametrize("token", [None, "0123456789abcdef" * 4])
def test_a_cluster_that_asks_for_another_token(ray_session: None, tmp_path: Path, token: str | None) -> None:
    import ray

    assert os.environ["RAY_AUTH_MODE"] == "token"  # Ray asks for one where it starts a cluster of its own
    mine = {"RAY_AUTH_TOKEN": token, "RAY_AUTH_MODE": "token"} if token else {}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    join = "import sys; from raysim.simulation.on_ray.connecting import connect; connect(sys.argv[1], None)"
    ended = subprocess.run(
        [sys.executable, "-c", join, ray.get_runtime_context().gcs_address],
        env={**environment, **mine, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "InputError" in ended.stderr
    assert "it asks for a token" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("address", ["auto", "somewhere"])
def test_an_address_without_a_port_is_left_to_ray(address: str) -> None:
    require_server(address)
