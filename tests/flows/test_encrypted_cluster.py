"""A Ray whose nodes encrypt what they say to each other, and ask for a token: a run joins it, or starts its own so."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from certificates import write_certificates
from drive import hashes, raysim_anew

from raysim.cluster.connect import ClusterAddress, agree_with
from raysim.core.errors import InputError

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "3c" * 32}
WAIT_S = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def node(environment: Mapping[str, str], folder: Path, *args: str) -> Iterator[None]:
    """A node of a Ray, as `ray start` makes one, until the block ends."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--node-ip-address=127.0.0.1", "--num-cpus=1"]
    command += ["--disable-usage-stats", "--dashboard-agent-listen-port=0", "--block", *args]
    with (folder / "node.log").open("a") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(WAIT_S)


@contextmanager
def two_nodes(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """The address of a head that a second node has joined."""
    place = f"127.0.0.1:{free_port()}"
    ports = [f"--port={place.partition(':')[2]}", f"--ray-client-server-port={free_port()}"]
    head = ["--head", *ports, "--include-dashboard=false", f"--temp-dir={folder / 'ray'}"]
    with node(environment, folder, *head):
        wait_until(lambda: answers(place))
        with node(environment, folder, f"--address={place}"):
            wait_until(lambda: num_nodes(place) == 2)
            yield place


def answers(place: str) -> bool:
    """Whether a Ray answers there that knows the certificates and the token of this process."""
    with suppress(InputError):
        agree_with(ClusterAddress(place, "--address"))
        return True
    return False


def num_nodes(place: str) -> int:
    """Nodes of a cluster, as a driver with the environment of this process sees them."""
    code = """
import sys
import ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(sum(node["Alive"] for node in ray.nodes()))
"""
    return int(subprocess.run([sys.executable, "-c", code, place], capture_output=True, text=True, check=True).stdout)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """One whose path leaves room for the names of Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="tls-") as folder:
        yield Path(folder)


@pytest.mark.stress
def test_equal_tables_behind_tls_and_a_token(
    tiny: Callable[..., Path], tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    plain = tiny(strategies=[{"fedavg": {"rounds": 1}}], measure={"perplexity": {}})
    ended = raysim_anew("run", plain, "--out", tmp_path / "plain")
    assert ended.returncode == 0, ended.stderr
    expected = hashes(tmp_path / "plain")

    here = ray.util.get_node_ip_address()
    secured = write_certificates(short_folder / "ours", ("127.0.0.1", here)) | TOKEN
    foreign = write_certificates(short_folder / "others", ("127.0.0.1", here)) | TOKEN
    on_ray = ("--set", "execution.backend=ray")
    for name, value in secured.items():
        monkeypatch.setenv(name, value)
    with two_nodes(secured, short_folder) as place:
        ended = raysim_anew("run", plain, "--out", tmp_path / "joined", "--address", place, *on_ray)
        assert ended.returncode == 0, ended.stderr
        assert hashes(tmp_path / "joined") == expected
        monkeypatch.setenv("RAY_AUTH_TOKEN", "5e" * 32)
        assert refused(plain, tmp_path, place) == "it asks for a token"
        for name, value in foreign.items():
            monkeypatch.setenv(name, value)
        assert refused(plain, tmp_path, place) == "RAY_USE_TLS is set here"
        monkeypatch.setenv("RAY_USE_TLS", "0")
        assert refused(plain, tmp_path, place) == "one that encrypts asks for RAY_USE_TLS=1"
    for name, value in secured.items():
        monkeypatch.setenv(name, value)
    ended = raysim_anew("run", plain, "--out", tmp_path / "embedded", *on_ray)
    assert ended.returncode == 0, ended.stderr
    assert hashes(tmp_path / "embedded") == expected


REASONS = ("it asks for a token", "RAY_USE_TLS is set here", "one that encrypts asks for RAY_USE_TLS=1")


def refused(path: Path, folder: Path, place: str) -> str:
    """The reason for which a run may not join."""
    ended = raysim_anew("run", path, "--out", folder / "refused", "--address", place)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    (reason,) = (reason for reason in REASONS if reason in ended.stderr)
    return reason
