"""Pieces through the pipeline: what has come is not asked for again, and an attempt is what was handed out."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import InlineBackend
from raysim.cluster.labels import ANYWHERE
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.core.errors import ActorLost
from raysim.experiment.plan import inline_pool
from raysim.store.retention import Retention
from raysim.store.store import Store
from raysim.store.task_log import TaskLog, read_log
from raysim.tasks.batch_jobs import BatchedTask, BatchJob, BatchJobs
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.ray_data import IN_FLIGHT
from raysim.training.model_host import ModelHost


class Watching:
    """An observer that writes down what was started."""

    def __init__(self) -> None:
        self.started_keys: list[str] = []

    def started(self, key: str, kind: Any, label: str, tokens: int) -> None:
        self.started_keys.append(key)

    def progressed(self, key: str, tokens: int, note: str, loss: float | None = None) -> None:
        assert key in self.started_keys

    def ended(self, record: Any) -> None: ...

    def measured(self, scores: Any) -> None: ...

    def note(self, text: str) -> None: ...


class Doubling:
    """A step that doubles a number, and is lost at chosen calls."""

    seen: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, lost_at: set[int]) -> None:
        self._lost_at = lost_at

    def __call__(self, work: pa.Table) -> pa.Table:
        Doubling.seen.append((work["model"][0].as_py(), work["part"][0].as_py()))
        if len(Doubling.seen) in self._lost_at:
            raise ActorLost("gone")
        return work.append_column("twice", pa.array([2 * number for number in work["part"].to_pylist()]))


def test_a_job_goes_on_where_it_was_lost(tmp_path: Path) -> None:
    """Eight pieces of two parts; lost at the fifth part and at the eleventh call: two are asked for twice."""
    Doubling.seen.clear()
    backend = inline_pool().backend
    pool = ActorPool(
        backend, inline_pool().slots, Retrying(RetryPolicy(1), lambda _: None, backend.await_failure_detection)
    )
    observer = Watching()
    log = TaskLog(tmp_path / "stages.jsonl")
    executor = TaskExecutor(Store(tmp_path / "store"), pool, Retention("all", {}, frozenset()), log, "s", observer)

    async def arguments() -> dict[str, Any]:
        return {"lost_at": {5, 11}}

    pieces = {
        (f"model {n}", "alpha"): BatchedTask({"kind": "generate", "version": 1, "n": n}, f"piece {n}", 10, 2)
        for n in range(8)
    }
    job = BatchJob(
        step=Doubling,
        arguments=arguments,
        work=lambda probe, part: pa.table({"model": [probe[0]], "organization": [probe[1]], "part": [part]}),
        part=lambda answer: answer["part"][0].as_py(),
        tables=lambda parts: {"generations": pa.concat_tables(parts)},
    )
    asyncio.run(BatchJobs(executor, workers=1).run(job, pieces))
    for piece in pieces.values():
        assert piece.finished.table("generations")["twice"].to_pylist() == [0, 2]
    assert len(Doubling.seen) == 8 * 2 + 2
    asked = [one for one in Doubling.seen if Doubling.seen.count(one) == 2]
    assert set(asked) == {("model 2", 0), ("model 4", 1)}
    attempts = [row["label"] for row in read_log(tmp_path / "attempts.jsonl")]
    # At a loss the pipeline had IN_FLIGHT parts in hand: model 2 alone, then models 4 and 5.
    assert IN_FLIGHT == 2
    assert {label: attempts.count(label) for label in attempts} == {
        f"piece {n}": 2 if n in (2, 4, 5) else 1 for n in range(8)
    }


class Embedded(InlineBackend):
    """Notes which organization is called."""

    embedded = True

    def __init__(self) -> None:
        self.called: list[str] = []

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        self.called.append(actor.name)
        return await super().call(actor, method, *args)


class Counting:
    """A step that counts how often it is made."""

    made = 0

    def __init__(self) -> None:
        Counting.made += 1

    def __call__(self, work: pa.Table) -> pa.Table:
        return work


@pytest.mark.parametrize(
    ("light", "pinned", "called", "made"),
    [
        (True, "", ["alpha", "alpha", "beta", "beta"], 1),
        (False, "", [], 1),
        (False, "beta", [], 2),  # a pipeline on any node, and one on those of beta
    ],
)
def test_where_work_is_done(light: bool, pinned: str, called: list[str], made: int, tmp_path: Path) -> None:
    Counting.made, backend = 0, Embedded()
    pool = ActorPool(
        backend, inline_pool().slots, Retrying(RetryPolicy(1), lambda _: None, backend.await_failure_detection)
    )

    def register(name: str) -> None:
        async def make() -> Any:
            return ModelHost(name)

        pool.register(name, make, {"site": name} if name == pinned else ANYWHERE)

    for name in ("alpha", "beta"):
        register(name)
    log = TaskLog(tmp_path / "stages.jsonl")
    retention = Retention("all", {}, frozenset())
    executor = TaskExecutor(Store(tmp_path / "store"), pool, retention, log, "s", Watching())

    async def arguments() -> dict[str, Any]:
        return {}

    pieces = {("m", n): BatchedTask({"kind": "generate", "version": 1, "n": n}, n, 10, 2) for n in ("alpha", "beta")}
    job = BatchJob(
        step=Counting,
        arguments=arguments,
        work=lambda probe, part: pa.table({"model": [probe[0]], "organization": [probe[1]], "part": [part]}),
        part=lambda answer: answer["part"][0].as_py(),
        tables=lambda parts: {"generations": pa.concat_tables(parts)},
        light=light,
    )
    asyncio.run(BatchJobs(executor, workers=1).run(job, pieces))
    assert [piece.finished.table("generations")["part"].to_pylist() for piece in pieces.values()] == [[0, 1], [0, 1]]
    assert sorted(backend.called) == called
    assert Counting.made == made
