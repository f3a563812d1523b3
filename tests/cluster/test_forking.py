"""Actors are forked from one process, and are as those that Ray starts itself."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raysim.cluster import forking
from raysim.cluster.forking import SHARED, ActorForkServer, can_fork, fork_server
from raysim.cluster.ray_backend import RayBackend

pytestmark = pytest.mark.skipif(not can_fork(), reason="nothing is forked here")


class Witness:
    """What a process finds itself to be."""

    def process(self) -> int:
        return os.getpid()

    def facts(self) -> dict[str, Any]:
        imported = "transformers.models.gpt2.modeling_gpt2" in sys.modules
        import resource

        import torch

        return {
            "imported": imported,
            "threads": torch.get_num_threads(),
            "niceness": os.getpriority(os.PRIO_PROCESS, 0),
            "oom_score_adj": Path("/proc/self/oom_score_adj").read_text(),
            "folder": str(Path.cwd()),
            "files": resource.getrlimit(resource.RLIMIT_NOFILE),
            "own group": os.getpgid(0) == os.getpid(),
            "variables": sorted(name for name in os.environ if name != "RAY_LD_PRELOAD_ON_WORKERS"),
            "path": sys.path,
        }


@pytest.fixture
def spawned(ray_session: None) -> Iterator[Callable[[str], Any]]:
    """Makes an actor in a process of the server at a path, or in one that Ray starts itself; and asks it."""
    backend = RayBackend(None, 2)

    def spawn(place: str) -> Any:
        backend._fork_place = place
        return backend.spawn(Witness)

    spawn.ask = lambda actor, method: asyncio.run(backend.call(actor, method))  # type: ignore[attr-defined]
    yield spawn
    backend.close()


def test_a_forked_actor_is_as_one_that_ray_starts(spawned: Any) -> None:
    forked = spawned.ask(spawned(os.environ[SHARED]), "facts")
    started = spawned.ask(spawned(""), "facts")
    assert forked.pop("imported")
    assert not started.pop("imported")
    assert forked == started


def test_where_no_server_answers_ray_starts_the_process_itself(spawned: Any, tmp_path: Path) -> None:
    assert not spawned.ask(spawned(str(tmp_path / "nobody")), "facts")["imported"]


def test_a_ray_that_somebody_else_has_started_may_have_other_nodes(
    ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SHARED)
    backend = RayBackend(None, 2)
    backend.spawn(Witness)
    assert (backend._forked_at(), backend._forks) == ("", None)
    backend.close()


OWN = """
import asyncio, os, sys
from pathlib import Path
from raysim.cluster.ray_backend import RayBackend

class Witness:
    def imported(self):
        return "transformers.models.gpt2.modeling_gpt2" in sys.modules

sweep = RayBackend(None, 2)
assert sweep._forks is None  # nothing is imported for a run that needs no actor
for _ in range(2):
    point = RayBackend(None, 2, sweep)
    assert asyncio.run(point.call(point.spawn(Witness), "imported"))
    assert point._forks is None
    point.close()
server = Path(f"/proc/{sweep._forks.pid}")
assert server.exists()
sweep.close()
assert not server.exists()
"""


def test_a_ray_of_our_own_has_one_server_from_its_first_actor_to_its_end() -> None:
    environment = {name: value for name, value in os.environ.items() if name != SHARED}
    ended = subprocess.run([sys.executable, "-c", OWN], env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


def test_an_actor_that_is_ended_leaves_nothing_and_no_other_goes_with_it(spawned: Any) -> None:
    """Ray ends the process group of a worker."""
    one, other = (spawned(os.environ[SHARED]) for _ in range(2))
    process = spawned.ask(one, "process")
    stays = spawned.ask(other, "process")
    waits = _parent(process)
    os.kill(process, signal.SIGKILL)
    _until(lambda: not Path(f"/proc/{process}").exists() and not Path(f"/proc/{waits}").exists())
    assert spawned.ask(other, "process") == stays


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def _until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.fixture
def server() -> Iterator[ActorForkServer]:
    server = ActorForkServer()
    yield server
    server.close()


def test_a_server_ends_with_its_owner_and_what_it_forked_goes_on(tmp_path: Path) -> None:
    script, said = tmp_path / "script.py", tmp_path / "said"
    script.write_text(f"import os, time, pathlib\npathlib.Path({str(said)!r}).write_text('x')\ntime.sleep(60)")
    owner = (
        "import subprocess, sys, time, shlex\nfrom raysim.cluster.forking import *\nserver = ActorForkServer()\n"
        "client = subprocess.Popen([*shlex.split(forked_at(server.path)['py_executable']), sys.argv[1]])\n"
        "print(client.pid, flush=True)\ntime.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", owner, script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            client = int(process.stdout.readline())
            _until(said.exists)
            (server,) = [p for p in _children(process.pid) if p != client]
        finally:
            process.kill()
    _until(lambda: not Path(f"/proc/{server}").exists())
    assert Path(f"/proc/{client}").exists()
    os.kill(client, signal.SIGKILL)  # and what was forked for it ends, too


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_no_process_of_a_machine_with_gpus_is_forked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert can_fork()
    (tmp_path / "gpu").touch()
    monkeypatch.setattr(forking, "_GPU_DEVICES", (str(tmp_path / "gpu"),))
    assert not can_fork()


def test_where_no_socket_can_be_there_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    (tmp_path / ("a" * 100)).mkdir()
    for folder in (tmp_path / ("a" * 100), tmp_path / "nowhere"):
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        assert fork_server() is None
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_socket_is_the_users_alone(server: ActorForkServer) -> None:
    assert server.path.parent.stat().st_mode & 0o777 == 0o700
