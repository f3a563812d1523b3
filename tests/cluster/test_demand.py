"""What is asked of an autoscaler, and that it brings it, keeps it while it is used, and lets it go afterwards."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from loaded_experiments import loaded
from rays import autoscaling_ray

from raysim.cluster.demand import Demand, withdraw
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import RunError
from raysim.experiment.resources import slot_count
from raysim.training.request import TrainerSettings


def node(cpus: float, alive: bool = True, **labels: str) -> dict[str, Any]:
    """As Ray lists one."""
    return {"Alive": alive, "Resources": {"CPU": cpus}, "Labels": labels}


@pytest.mark.parametrize(
    ("nodes", "there"),
    [
        ([], 0),
        ([node(1)], 0),  # the pinned one is missing
        ([node(1), node(1, site="meta")], 0),  # no node has room for two CPUs
        ([node(2), node(3, site="meta")], 2),
        ([node(2), node(2, False), node(4, site="meta")], 3),
        ([node(8), node(8, site="meta")], 4),
    ],
)
def test_slots_that_have_room(nodes: list[dict[str, Any]], there: int) -> None:
    assert Demand(4, {"CPU": 2}, [{"site": "meta"}]).there(nodes) == there


@pytest.mark.parametrize("comes", [True, False])
def test_it_waits_until_all_are_there_or_it_has_waited_enough(comes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = [0.0], list[str]()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    found = Demand(3, {"CPU": 1}, []).wait(lambda: [node(1 + (comes and clock[0] >= 5) * 2)], 60, told.append)
    assert (found, clock[0]) == ((3, 5.0) if comes else (1, 60.0))
    assert told == ["1 of 3 slots are there; waiting up to 60 s for an autoscaler's nodes"]
    assert Demand(1, {"CPU": 1}, []).wait(lambda: [node(1)], 60, told.append) == 1
    assert len(told) == 1


def asked() -> list[dict[str, float]]:
    """What the autoscaler of the session's Ray finds."""
    from ray._private.ray_constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
    from ray.experimental.internal_kv import _internal_kv_get

    return json.loads(_internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL) or "[]")


def test_a_backend_asks_as_long_as_it_is_open(ray_session: None) -> None:
    """Anew when something was lost, since Ray Data asks in its place; what came is used, nothing at all is an error."""
    told = list[str]()
    backend = RayBackend(None, None)
    try:
        backend.scale_up(TrainerSettings(threads=1), 3, [], 0.01, told.append)
        assert asked() == [{"CPU": 1}] * 3
        assert told[-1] == "going on with 2 of 3 slots: no more nodes came within 0.01 s"
        withdraw()
        assert asked() == []
        asyncio.run(backend.await_failure_detection())
        assert asked() == [{"CPU": 1}] * 3
        with pytest.raises(RunError, match=r"execution\.scale_up_s: no node with room for a slot came within 0\.01 s"):
            backend.scale_up(TrainerSettings(threads=3), 1, [], 0.01, told.append)
    finally:
        backend.close()
    assert asked() == []


def test_what_is_open_for_longer_asks_once_and_takes_back(ray_session: None) -> None:
    """As the points of a sweep: nobody waits again for nodes that were waited for, or gives them back between two."""
    told = list[str]()
    sweep = RayBackend(None, None)
    try:
        sweep.scale_up(TrainerSettings(threads=1), 3, [], 0.01, told.append)
        for _ in range(2):
            point = RayBackend(None, None, sweep)
            point.scale_up(TrainerSettings(threads=1), 3, [], 600, told.append)
            point.close()
            assert asked() == [{"CPU": 1}] * 3
        assert len(told) == 2
        point = RayBackend(None, None, sweep)  # this one wants less
        point.scale_up(TrainerSettings(threads=1), 1, [], 600, told.append)
        assert asked() == [{"CPU": 1}]
        point.close()
        assert asked() == [{"CPU": 1}]
    finally:
        sweep.close()
    assert asked() == []


def test_slots_that_an_autoscaler_was_asked_for_are_those_that_came(ray_session: None) -> None:
    backend = RayBackend(None, None)
    try:
        for slots, found in ((1, 1), (9, 2)):
            assert slot_count(loaded(execution={"slots": slots, "scale_up_s": 1}), backend) == found
    finally:
        backend.close()


SCENE = """
import sys, time
from raysim.cluster.connect import ClusterAddress
from raysim.cluster.ray_backend import RayBackend
from raysim.training.request import TrainerSettings
import ray

class Idle: ...

def cpus():
    return sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])

def until(number):
    deadline_s = time.monotonic() + 60
    while cpus() != number:
        assert time.monotonic() < deadline_s, (cpus(), number)
        time.sleep(0.3)

ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
backend = RayBackend(sys.argv[1], None)
told = []
assert cpus() == 0
backend.scale_up(TrainerSettings(threads=2), 3, [], 60, told.append)
assert (backend.cpus(), len(told)) == (6, 1), told
actors = [backend.spawn(Idle) for _ in range(3)]
ray.get([actor.__ray_ready__.remote() for actor in actors])
where = {ray.get(actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id())) for actor in actors}
time.sleep(15)  # longer than an idle node stays
alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
assert where <= alive
assert cpus() == 6
backend.close()
until(0)
print("gone")
"""


@pytest.mark.stress
def test_an_autoscaler_brings_nodes_and_lets_them_go() -> None:
    """Three slots of two CPUs: three nodes come, stay while actors that take no CPU live there, and go."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, autoscaling_ray(Path(folder) / "ray", 3, CPU=2) as address:
        command = [sys.executable, "-c", SCENE, address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert ended.stdout == "gone\n", ended.stderr
