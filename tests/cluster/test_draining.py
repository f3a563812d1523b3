"""Nodes that are about to go, on a real cluster whose second node is told so."""

import subprocess
import sys

from rays import nodes_here

SCENE = """
import asyncio, sys, time
import ray
from raysim.cluster.draining import draining_nodes
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import ActorLost

def near(_):
    from raysim.training.departure import DEPARTURE

    with DEPARTURE.watched():
        deadline_s = time.monotonic() + 5
        while not DEPARTURE.is_near() and time.monotonic() < deadline_s:
            time.sleep(0.1)
        return DEPARTURE.is_near(), ray.get_runtime_context().get_node_id()

class Client: ...

backend = RayBackend(sys.argv[1], None)
far = {"site": "far"}
here, there = backend.spawn(Client, node={"site": "near"}), backend.spawn(Client, node=far)
_, node = ray.get(there.__ray_call__.remote(lambda _: (None, ray.get_runtime_context().get_node_id())))
assert not draining_nodes()
gcs, later_ms = ray._raylet.GcsClient(address=sys.argv[1]), int(1000 * (time.time() + 100))
assert gcs.drain_node(node, 2, "a test", later_ms)[0]
assert list(draining_nodes()) == [node]
assert ray.get(there.__ray_call__.remote(near)) == (True, node)
assert [asyncio.run(backend.ping(actor)) for actor in (here, there)] == [True, False]
new = [backend.spawn(Client) for _ in range(3)]
found = ray.get([actor.__ray_call__.remote(near) for actor in new])
assert not any(is_near for is_near, _ in found), found
assert node not in {place for _, place in found}
try:
    backend.spawn(Client, node=far)
except ActorLost as error:
    print(error)
backend.close()
"""


def test_what_trains_on_a_node_that_goes_hears_of_it_and_nothing_new_comes() -> None:
    with nodes_here(num_cpus=1, labels={"site": "near"}) as cluster:
        cluster.add_node(num_cpus=1, labels={"site": "far"})
        command = [sys.executable, "-c", SCENE, cluster.address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert ended.stdout == "no node of the cluster has the labels site=far now\n", ended.stderr
