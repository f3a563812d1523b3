"""Rays that somebody else has started on this machine, by `ray start`."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

PATIENCE_S = 120.0

FAKE_NODES = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
"""By its path, not by its name: the defaults that Ray would read for the name are not in its package."""

DRAWN = [
    *("--port=0", "--min-worker-port=0", "--max-worker-port=0"),
    *("--dashboard-agent-listen-port=0", "--include-dashboard=false", "--disable-usage-stats"),
]
"""Ports that the system draws, so that tests are in nobody's way."""


@contextmanager
def foreign_ray(folder: Path, *options: str, **environment: str) -> Iterator[str]:
    """The address of a head that is up for the time of the block.

    Args:
        folder: of its files; a short path.
        options: of ``ray start``, beside those of a head with drawn ports.
        environment: of its processes, beside ours.
    """
    folder.mkdir(exist_ok=True)
    head = "--head", f"--temp-dir={folder}", f"--ray-client-server-port={free_port()}"
    with _started(folder / "log", (*head, *DRAWN, *options), environment):
        address = folder / "ray_current_cluster"
        _wait(address.exists, folder / "log")  # it is written last
        yield address.read_text().strip()


@contextmanager
def joined_node(log: Path, address: str, *options: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The process of a node that has joined the head at `address`, for the time of the block.

    Args:
        log: a file for what it says; beside it, it notes where its head is, which others might else follow.
        address: of the head.
        options: of ``ray start``.
        environment: of its processes, beside ours.
    """
    ports = "--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0", "--disable-usage-stats"
    with _started(
        log, (f"--address={address}", *ports, *options), {"RAY_TMPDIR": str(log.parent), **environment}
    ) as node:
        yield node


@contextmanager
def _started(log: Path, options: tuple[str, ...], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """``ray start --block``, once it says that it is up."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *options]
    with log.open("w") as output, subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=output, stderr=output
    ) as node:  # fmt: skip
        try:
            _wait(lambda: node.poll() is not None or "Ray runtime started" in log.read_text(), log)
            assert node.poll() is None, log.read_text()
            yield node
        finally:
            end(node.pid)


def _wait(condition: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.1)


@contextmanager
def nodes_here(**head: Any) -> Iterator[Any]:
    """A ``ray.cluster_utils.Cluster`` of nodes on this machine, for the time of the block.

    Its head goes on in this process's key-value client, and its end resets that; afterwards the process has the client
    that it had, so that the one Ray of the test session stays as it was.

    Args:
        head: what its first node is made of.
    """
    from ray.cluster_utils import Cluster
    from ray.experimental import internal_kv

    before = internal_kv.internal_kv_get_gcs_client()
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
    try:
        yield cluster
    finally:
        cluster.shutdown()
        if before is not None:
            internal_kv._initialize_internal_kv(before)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as drawn:
        return drawn.getsockname()[1]


def end(pid: int) -> None:
    """Ends a process with all that it has started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        process.terminate()
        psutil.wait_procs([process], 10)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()


@contextmanager
def autoscaling_ray(folder: Path, workers: int, **worker: Any) -> Iterator[str]:
    """The address of a head without CPUs whose autoscaler starts up to `workers` nodes, as processes on this machine.

    It looks every second, and lets idle nodes go after some seconds.

    Args:
        folder: of its files; a short path.
        workers: nodes at most.
        worker: resources of each.
    """
    from ray.util import get_node_ip_address

    port = free_port()
    config = {
        "cluster_name": "drawn",
        "max_workers": workers,
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 1.0,
        "provider": {"type": "external", "module": FAKE_NODES, "gcs_address": f"{get_node_ip_address()}:{port}"},
        "auth": {"ssh_user": "nobody"},
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": worker, "node_config": {}, "min_workers": 0, "max_workers": workers},
        },
        **{name: {} for name in ("docker", "file_mounts")},
        **{name: [] for name in ("initialization_commands", "setup_commands", "cluster_synced_files")},
        **{f"{kind}_{what}_commands": [] for kind in ("head", "worker") for what in ("setup", "start_ray")},
        "file_mounts_sync_continuously": False,
    }
    folder.mkdir(exist_ok=True)
    (folder / "autoscaler.json").write_text(json.dumps(config))
    options = f"--autoscaling-config={folder / 'autoscaler.json'}", f"--port={port}", "--num-cpus=0"
    environment = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with foreign_ray(folder, *options, **environment) as address:
        yield address
