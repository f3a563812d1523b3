"""Whether a Ray cluster answers at an address is told before Ray is asked, which would wait for many minutes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
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


@pytest.mark.parametrize("address", ["auto", "somewhere"])
def test_an_address_without_a_port_is_left_to_ray(address: str) -> None:
    require_server(address)
