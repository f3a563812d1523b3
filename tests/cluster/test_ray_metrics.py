"""Gauges, as Prometheus would read them from a node."""

import time
import urllib.request

import ray

from raysim.cluster.ray_metrics import RayGauges

PATIENCE_S = 60.0


def test_a_gauge_is_among_the_metrics_of_its_node(ray_session: None) -> None:
    gauges = RayGauges(("run", "of"))
    for value in (0.25, 0.5):
        gauges.set("raysim_exclusive_lines", value, {"run": "debug", "of": "acme/fedavg, seed 1"})
    (node,) = [node for node in ray.nodes() if node["Alive"]]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    found: list[str] = []
    deadline_s = time.monotonic() + PATIENCE_S
    while not found and time.monotonic() < deadline_s:
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        found = [line for line in text.splitlines() if line.startswith("ray_raysim_exclusive_lines{")]
    (line,) = found
    assert 'run="debug"' in line
    assert 'of="acme/fedavg, seed 1"' in line
    assert line.endswith(" 0.5")
