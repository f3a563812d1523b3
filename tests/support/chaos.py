"""Kills for real: SIGKILL to the processes of a run on a cluster of three nodes, each at a seeded progress event.

Progress events are the lines of a run's stage log, of the kinds that a part of it does: other measures may come at any
time. What a kill hit is read off the log of attempts: the work that was
under way then, of the kinds that the victim does.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from drive import Driver, started
from rays import nodes_here

from raysim.core.keys import seed_of
from raysim.store.task_log import read_log

TITLES = {
    "organization": (
        "ray::Organization.train",
        "ray::PooledOrganization.train",
        "ray::Organization",
        "ray::PooledOrganization",
    ),
    "strategy": ("ray::StrategyActor",),
    "worker": ("ray::MapWorker",),
}
"""How the processes of a kind of victim are named; the first name that is found is taken."""

DOES = {
    "organization": {"initial", "train", "losses"},
    "strategy": {"aggregate"},
    "worker": {"generate", "match"},
}
"""Kinds of work that a victim does; a node and the driver do all."""

TRAINING = DOES["organization"] | DOES["strategy"]
PROBING = DOES["worker"]

PATIENCE_S = 240.0
RESUMABLE = 3
_PAUSE_S = 0.02

FAILURE_DETECTION = {"health_check_period_ms": 500}
"""A node that has ended is missed after five periods, of 3 s by Ray's default; a slow one has 10 s for each answer."""


@dataclass(frozen=True)
class Kill:
    """A kill that is due once the stage log names so many pieces of work of a part's kinds."""

    victim: str
    after: int
    kinds: Collection[str]


@dataclass
class Chaos:
    """A run under kills.

    Attributes:
        hits: for each key the kills that found its work under way.
        restarts: times that the command was given again.
    """

    cluster: Any
    args: list[object]
    out: Path
    hits: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    restarts: int = 0

    def run(self, kills: list[Kill]) -> str:
        """Gives the command until it ends with exit code 0, and performs `kills` meanwhile; returns all its output."""
        pending = list(kills)
        while True:
            with started(*self.args, output=self._log) as driver:
                killed = self._disturb(driver, pending)
                driver.wait(PATIENCE_S)
            output = self._log.read_text()
            assert "Traceback" not in output, output
            if killed:
                assert driver.returncode == -signal.SIGKILL
            elif driver.returncode == 0:
                assert not pending, f"the run ended before {pending[0]}: {output}"
                return output
            else:
                assert driver.returncode == RESUMABLE, output
            self.restarts += 1

    @property
    def _log(self) -> Path:
        return self.out.with_suffix(".log")

    def _disturb(self, driver: Driver, pending: list[Kill]) -> bool:
        """Kills what is due until the driver ends; whether it was killed itself."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not driver.ends_within(_PAUSE_S):
            assert time.monotonic() < deadline_s, self._log.read_text()
            if not pending or self._done_of(pending[0].kinds) < pending[0].after:
                continue
            if self._kill(driver, pending[0].victim):
                deadline_s = time.monotonic() + PATIENCE_S
                if pending.pop(0).victim == "driver":
                    return True
        return False

    def _kill(self, driver: Driver, victim: str) -> bool:
        """Kills one process or node; False if there is none of that kind right now."""
        kinds = DOES.get(victim)
        before = self._under_way()
        if victim == "driver":
            driver.kill()
            driver.wait()
        elif victim == "node":
            node = self._draw(victim, sorted(self.cluster.worker_nodes, key=lambda node: node.node_id))
            self.cluster.remove_node(node, allow_graceful=False)
            self.cluster.add_node(num_cpus=1)
        else:
            found = [p.pid for title in TITLES[victim] if (p := self._oldest(title))][:1]
            if not found or (
                kinds and not any(row["kind"] in kinds for row in before.values()) and victim != "strategy"
            ):
                return False
            os.kill(found[0], signal.SIGKILL)
        for key, row in {**before, **self._under_way()}.items():
            if kinds is None or row["kind"] in kinds:
                self.hits[key] += 1
        self.done[victim] += 1
        return True

    def _draw(self, purpose: str, choices: list[Any]) -> Any:
        number = sum(self.done.values())
        return choices[np.random.Generator(np.random.Philox(seed_of(purpose, number))).integers(len(choices))]

    def _oldest(self, title: str) -> psutil.Process | None:
        found = []
        for process in psutil.Process().children(recursive=True):  # this process has started the cluster's nodes
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if (process.cmdline() or [""])[0].startswith(title):
                    found.append((process.create_time(), process))
        return min(found, key=lambda aged: aged[0], default=(0.0, None))[1]

    def _done_of(self, kinds: Collection[str]) -> int:
        return len({row["key"] for row in self._ended() if row["kind"] in kinds})

    def _ended(self) -> list[dict[str, Any]]:
        return read_log(self.out / "stages.jsonl")

    def attempts(self) -> list[dict[str, Any]]:
        """All attempts so far, of all times that the command was given."""
        return read_log(self.out / "attempts.jsonl")

    def _under_way(self) -> dict[str, dict[str, Any]]:
        """The last attempt at each key that has not ended."""
        ended = {row["key"] for row in self._ended()}
        return {row["key"]: row for row in self.attempts() if row["key"] not in ended}


@contextmanager
def three_nodes() -> Iterator[Any]:
    """A Ray cluster of a head and two worker nodes on this machine, of one CPU each."""
    with nodes_here(num_cpus=1, _system_config=FAILURE_DETECTION) as cluster:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster


def run_on(cluster: Any, experiment: Path, out: Path, *more: object) -> list[object]:
    """The arguments of a run on `cluster`."""
    return ["run", experiment, "--out", out, "--address", cluster.address, *more]
