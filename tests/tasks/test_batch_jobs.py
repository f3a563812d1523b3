"""Pieces through the pipeline: what has come is not asked for again, and an attempt is what was handed out."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from raysim.cluster.actor_pool import Crew
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.core.errors import PartyLost
from raysim.experiment.plan import crew_of_one
from raysim.store.retention import Retention
from raysim.store.store import Store
from raysim.store.task_log import StageLog, read_stages
from raysim.tasks.batch_jobs import Job, Jobs, Piece
from raysim.tasks.executor import Workshop
from raysim.tasks.ray_data import IN_FLIGHT


class Watching:
    """An observer that writes down what was started."""

    def __init__(self) -> None:
        self.started_keys: list[str] = []

    def started(self, key: str, kind: Any, label: str, tokens: int) -> None:
        self.started_keys.append(key)

    def progressed(self, key: str, tokens: int, note: str) -> None:
        assert key in self.started_keys

    def ended(self, record: Any) -> None: ...

    def note(self, text: str) -> None: ...


class Doubling:
    """A step that doubles a number, and is lost at the calls that it was told of."""

    seen: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, lost_at: set[int]) -> None:
        self._lost_at = lost_at

    def __call__(self, work: pa.Table) -> pa.Table:
        Doubling.seen.append((work["model"][0].as_py(), work["part"][0].as_py()))
        if len(Doubling.seen) in self._lost_at:
            raise PartyLost("gone")
        return work.append_column("twice", pa.array([2 * number for number in work["part"].to_pylist()]))


def test_a_job_goes_on_where_it_was_lost(tmp_path: Path) -> None:
    """Eight pieces of two parts; lost at the fifth part and at the eleventh call: two are asked for twice."""
    Doubling.seen.clear()
    backend = crew_of_one().backend
    crew = Crew(backend, crew_of_one().slots, Retrying(RetryPolicy(1), lambda _: None, backend.settle))
    observer = Watching()
    log = StageLog(tmp_path / "stages.jsonl")
    shop = Workshop(Store(tmp_path / "store"), crew, Retention("all", {}, frozenset()), log, "s", observer)

    async def arguments() -> dict[str, Any]:
        return {"lost_at": {5, 11}}

    pieces = {
        (f"model {n}", "alpha"): Piece({"kind": "generate", "version": 1, "n": n}, f"piece {n}", 10, 2)
        for n in range(8)
    }
    job = Job(
        step=Doubling,
        arguments=arguments,
        work=lambda probe, part: pa.table({"model": [probe[0]], "organization": [probe[1]], "part": [part]}),
        part=lambda answer: answer["part"][0].as_py(),
        tables=lambda parts: {"generations": pa.concat_tables(parts)},
    )
    asyncio.run(Jobs(shop, workers=1).run(job, pieces))
    for piece in pieces.values():
        assert piece.finished.table("generations")["twice"].to_pylist() == [0, 2]
    assert len(Doubling.seen) == 8 * 2 + 2
    asked = [one for one in Doubling.seen if Doubling.seen.count(one) == 2]
    assert set(asked) == {("model 2", 0), ("model 4", 1)}
    attempts = [row["label"] for row in read_stages(tmp_path / "attempts.jsonl")]
    # At a loss the pipeline had IN_FLIGHT parts in hand: model 2 alone, then models 4 and 5.
    assert IN_FLIGHT == 2
    assert {label: attempts.count(label) for label in attempts} == {
        f"piece {n}": 2 if n in (2, 4, 5) else 1 for n in range(8)
    }
