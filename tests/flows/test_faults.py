"""Parties that are lost under work: tried again elsewhere, from the last checkpoint, to the same bits."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysim.cluster.backend import InlineBackend
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import ActorLost, RunError
from raysim.simulation.strategy_actor import StrategyActor
from raysim.store.task_log import read_log
from raysim.training.request import Progress, ResumeState

ENTRIES = [{"incremental": {"orders": [["alpha", "beta"], ["beta", "alpha"]]}}, {"fedyogi": {"rounds": 2}}]


@pytest.fixture(scope="module")
def quiet(run_study):
    return run_study(InlineBackend(), ENTRIES)


def assert_equal(one, other) -> None:
    ours, theirs = one.weights(), other.weights()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)


class Losing(InlineBackend):
    """Loses parties at the given calls of the given methods, counted from 1; a stream after its first checkpoint."""

    def __init__(self, **at: set[int]) -> None:
        self._at = at
        self.calls: Counter[str] = Counter()

    def _is_due(self, method: str) -> bool:
        self.calls[method] += 1
        return self.calls[method] in self._at.get(method, ())

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        if self._is_due(method):
            raise ActorLost("gone")
        return await super().call(actor, method, *args)

    async def stream(self, actor: Any, method: str, *args: Any):
        due = self._is_due(method)
        if due and method == "aggregate":
            raise ActorLost("gone")
        async for event in super().stream(actor, method, *args):
            yield event
            if due and isinstance(event, ResumeState):
                raise ActorLost("gone")


def test_a_lost_organization_goes_on_from_its_checkpoint(run_study, quiet) -> None:
    """Checkpoints after every step, so what is lost is no step at all; each loss is one more attempt."""
    backend = Losing(train={1, 2, 4})
    results = run_study(backend, ENTRIES, retries=2, checkpoint_every_s=0.0)
    assert_equal(results, quiet)
    records = [r for r in results.observer.records if r.kind == "train"]
    assert sorted((r.attempts for r in records), reverse=True)[:3] == [3, 2, 1]
    assert len([note for note in results.observer.notes if "gone; trying again" in note]) == 3
    resumed = [e for e in results.rows if e["kind"] == "train"]
    assert {e["status"] for e in resumed} == {"computed"}


def test_a_lost_strategy_finds_its_state_in_the_store(run_study, quiet) -> None:
    """Once before each of its calls: at the beginning, at both aggregations, and when a turn is taken."""
    results = run_study(Losing(begin={1}, aggregate={1, 3}, adopt={2, 4}), ENTRIES, retries=3)
    assert_equal(results, quiet)


def test_a_lost_party_that_makes_initial_weights_or_takes_a_short_call(run_study, quiet) -> None:
    assert_equal(run_study(Losing(client_task={1}), ENTRIES, retries=1), quiet)


def test_used_up_retries_end_the_run_and_the_next_one_goes_on(run_study, quiet, tmp_path: Path) -> None:
    told = r"(stage|round) 1: (alpha|beta): gone; tried 2 times \(execution\.retries: 1\).*same command"
    with pytest.raises(RunError, match=told):
        run_study(Losing(train=set(range(1, 50))), ENTRIES, folder=tmp_path, retries=1, checkpoint_every_s=0.0)
    results = run_study(InlineBackend(), ENTRIES, folder=tmp_path)
    assert_equal(results, quiet)


def test_attempts_are_written_as_they_begin(run_study, tmp_path: Path) -> None:
    results = run_study(Losing(train={1}), ENTRIES, folder=tmp_path, retries=1, checkpoint_every_s=0.0)
    attempts = read_log(tmp_path / "attempts.jsonl")
    counts = Counter(row["key"] for row in attempts)
    assert set(counts) == {row["key"] for row in results.rows}
    (again,) = [key for key, n in counts.items() if n == 2]
    rows = [row for row in attempts if row["key"] == again]
    assert [(row["attempt"], row["kind"]) for row in rows] == [(1, "train"), (2, "train")]
    assert {row["site"] for row in rows} in ({"alpha"}, {"beta"})


def test_replicas_change_nothing(run_study, quiet) -> None:
    assert_equal(run_study(InlineBackend(), ENTRIES, slots=3, replicas=3), quiet)


# Real processes, really killed.


class Killing(RayBackend):
    """Sends SIGKILL to the process of an organization in mid-stage, and to a strategy's before an aggregation and
    before it hands out what another one made.
    """

    def __init__(self) -> None:
        super().__init__(None, 2)
        self.killed: list[str] = []
        self.handed_out = False

    async def _kill(self, actor: Any, what: str) -> None:
        self.killed.append(what)
        os.kill(await actor.__ray_call__.remote(_pid), signal.SIGKILL)

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        if method == "aggregate" and "strategy" not in self.killed:
            await self._kill(actor, "strategy")
        return await super().call(actor, method, *args)

    async def stream(self, actor: Any, method: str, *args: Any):
        if method == "new_tensors" and self.handed_out and "what it made" not in self.killed:
            await self._kill(actor, "what it made")
        self.handed_out |= method == "new_tensors"
        first = "organization" not in self.killed
        pid = await actor.__ray_call__.remote(_pid) if first else 0
        async for event in super().stream(actor, method, *args):
            yield event
            if first and isinstance(event, ResumeState | Progress) and "organization" not in self.killed:
                self.killed.append("organization")
                os.kill(pid, signal.SIGKILL)


def _pid(_: Any) -> int:
    return os.getpid()


@pytest.mark.slow
def test_killed_processes_change_nothing(run_study, quiet, ray_session: None) -> None:
    backend = Killing()
    try:
        results = run_study(backend, ENTRIES, slots=2, replicas=2, retries=2, checkpoint_every_s=0.0)
    finally:
        backend.close()
    assert sorted(backend.killed) == ["organization", "strategy", "what it made"]
    assert_equal(results, quiet)
    assert all(results.store.get(key) for key in results.store)


def test_what_ray_says_of_a_lost_actor(ray_session: None) -> None:
    import asyncio

    backend = RayBackend(None, 2)

    async def scene() -> None:
        actor = backend.spawn(StrategyActor, None)
        assert await backend.ping(actor)
        os.kill(await actor.__ray_call__.remote(_pid), signal.SIGKILL)
        with pytest.raises(ActorLost, match=r"ended unexpectedly; .* lower\s+trainer\.batch_size|cannot be reached"):
            await backend.call(actor, "begin", "initial")
        await backend.await_failure_detection()
        assert not await backend.ping(actor)
        backend.kill(actor)

    try:
        asyncio.run(asyncio.wait_for(scene(), 60))
    finally:
        backend.close()
