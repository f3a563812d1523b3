"""Stages an hour on 1, 2 and 4 nodes and with 10, 100 and 1,000 organizations; what the driver takes of its machine.

Training is a sleep, so that nodes do not take each other's cores as real ones would not: what is lost beside it is the
framework's. Nodes are Ray nodes of one CPU on this machine, and each has a slot; their efficiency is the share of the
slots' time in which somebody trains. In the other half training takes no time at all, and a round of all organizations
is the framework alone: its stages an hour, the CPU that the driver takes for a stage, and the driver's memory after the
first rounds and after the last (its own, without what it shares with others). Everything is stored.
    python experiments/benchmarks/scale.py [--nodes 1 2 4] [--clients 10 100 1000] [--rounds 6] [--train-s 0.5]
"""

import argparse
import itertools
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import psutil
from federated_round import STORES, Echo, with_raysim

from raysim.cluster.ray_backend import RayBackend

SIZE = 100_000
"""Parameters."""
EVERYTHING = STORES["everything stored"]
STAGES_A_ROUND = 8
"""Of organizations on nodes: as many for each slot, whichever number of them there is."""


def sleeper(seconds: float) -> type:
    """A client whose training takes so long, and changes nothing."""

    class Sleeper(Echo):
        def train(self, request: Any, weights: np.ndarray, launcher: Any) -> Iterator[Any]:
            time.sleep(seconds)
            yield from super().train(request, weights, launcher)

    return Sleeper


@contextmanager
def nodes(count: int) -> Iterator[RayBackend]:
    """A backend on a cluster of a head that does no work, and `count` nodes."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(count):
        cluster.add_node(num_cpus=1)
    backend = RayBackend(cluster.address, None)
    try:
        yield backend
    finally:
        backend.close()
        cluster.shutdown()


class Driver:
    """What this process has taken, after each round."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.cpu_s: list[float] = []
        self.bytes: list[int] = []

    def look(self) -> None:
        self.cpu_s.append(sum(self._process.cpu_times()[:2]))
        self.bytes.append(self._process.memory_full_info().uss)

    def cpu_a_round(self) -> float:
        return statistics.median(after - before for before, after in itertools.pairwise(self.cpu_s))


def measured(backend: RayBackend, rounds: int, clients: int, client: type, slots: int) -> tuple[float, Driver]:
    """Median seconds of a round after the first, and what the driver took."""
    driver = Driver()
    shape = "fedavg", SIZE, rounds, clients, EVERYTHING, client, slots, driver.look
    return statistics.median(with_raysim(backend, *shape)), driver


def row(case: str, value: float, unit: str) -> dict[str, Any]:
    found = {"case": case, "raysim": round(value, 4), "unit": unit}
    print(found, flush=True)
    return found


def of_nodes(counts: list[int], rounds: int, train_s: float) -> Iterator[dict[str, Any]]:
    for count in counts:
        with nodes(count) as backend:
            seconds, driver = measured(backend, rounds, STAGES_A_ROUND, sleeper(train_s), count)
        case = f"{count} nodes, {STAGES_A_ROUND} organizations, training {train_s:g} s"
        yield row(f"{case}: stages", 3600 * STAGES_A_ROUND / seconds, "an hour")
        yield row(f"{case}: efficiency", STAGES_A_ROUND * train_s / (count * seconds), "of the slots' time")
        yield row(f"{case}: driver", driver.cpu_a_round() / seconds, "cores")


def of_organizations(counts: list[int], rounds: int) -> Iterator[dict[str, Any]]:
    for count in counts:
        with nodes(2) as backend:
            seconds, driver = measured(backend, rounds, count, Echo, 2)
        case = f"{count} organizations, training nothing"
        yield row(f"{case}: stages", 3600 * count / seconds, "an hour")
        yield row(f"{case}: driver", 1e3 * driver.cpu_a_round() / count, "CPU ms a stage")
        third = len(driver.bytes) // 3
        yield row(f"{case}: driver's memory after round {third}", driver.bytes[third - 1] / 1e6, "MB")
        yield row(f"{case}: driver's memory after round {len(driver.bytes)}", driver.bytes[-1] / 1e6, "MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--clients", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--train-s", type=float, default=0.5)
    asked = parser.parse_args()
    logging.getLogger("ray").setLevel(logging.ERROR)
    halves: list[Callable[[], Iterator[dict[str, Any]]]] = [
        partial(of_nodes, asked.nodes, asked.rounds, asked.train_s),
        partial(of_organizations, asked.clients, asked.rounds),
    ]
    rows = [one for half in halves for one in half()]
    print(json.dumps({"benchmark": "scale", "rounds": asked.rounds, "rows": rows}))


if __name__ == "__main__":
    main()
