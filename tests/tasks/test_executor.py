"""Keyed work in this process: once for each key, found again, and made again where arrays were evicted."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import InlineBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.core.errors import DamagedEntry, RunError
from raysim.core.keys import key_of
from raysim.store.retention import Retention
from raysim.store.store import Store
from raysim.store.task_log import TaskLog, TaskRecord, read_log
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.task import ArrayPolicy, Task, TaskOutput


class Client:
    """Runs functions, and counts them."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def run(self, function: Callable[..., TaskOutput], *args: Any) -> TaskOutput:
        self.calls.append(args)
        return function(self, *args)


class Notes:
    """An observer that writes down what it receives."""

    def __init__(self) -> None:
        self.records: list[TaskRecord] = []
        self.notes: list[str] = []

    def started(self, key: str, kind: str, label: str, tokens: int) -> None: ...

    def progressed(self, key: str, tokens: int, note: str, loss: float | None = None) -> None: ...

    def measured(self, scores: Any) -> None: ...

    def ended(self, record: TaskRecord) -> None:
        self.records.append(record)

    def note(self, text: str) -> None:
        self.notes.append(text)


MODEL = {"kind": "initial", "version": 1}
SUM = {"kind": "losses", "version": 1, "weights": key_of(MODEL)}


def make_model(client: Client) -> TaskOutput:
    return TaskOutput({"parameters": 3}, {"weights": np.array([1, 2, 4], np.float32)})


def add_up(client: Client, weights: np.ndarray, factor: int) -> TaskOutput:
    return TaskOutput({"sum": float(weights.sum()) * factor}, tables={"rows": pa.table({"n": [factor]})})


MAKE = Task(MODEL, "initial weights", "a", make_model)
ADD = Task(SUM, "sum at a", "a", add_up, (10,), tokens=5, given=(Transfer.of(SERVER, "a", "factor", b"10"),))


class Scene:
    """An executor with one client."""

    def __init__(self, folder: Path, keep: Any = "all") -> None:
        backend, self.client, self.observer = InlineBackend(), Client(), Notes()
        retrying = Retrying(RetryPolicy(0), self.observer.note, backend.await_failure_detection)
        pool = ActorPool(backend, Scheduler(1), retrying)

        async def make() -> Client:
            return self.client

        pool.register("a", make)
        self.store, self.log = Store(folder / "store"), folder / "stages.jsonl"
        retention = Retention(keep, {key_of(MODEL): MODEL, key_of(SUM): SUM}, frozenset())
        self.executor = TaskExecutor(self.store, pool, retention, TaskLog(self.log), "s", self.observer)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await work()

    return asyncio.run(main())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_function_gets_weights_before_its_arguments(scene: Scene) -> None:
    async def work() -> Any:
        await scene.executor.run_on_client(MAKE)
        return await scene.executor.run_on_client(ADD)

    entry = run(work)
    assert entry.info["sum"] == 70
    assert entry.table("rows")["n"].to_pylist() == [10]
    assert scene.executor.used == {MAKE.key, ADD.key}


def test_what_comes_and_goes_is_noted_with_the_result(scene: Scene) -> None:
    async def work() -> Any:
        await scene.executor.run_on_client(MAKE)
        return await scene.executor.run_on_client(ADD)

    info = run(work).info
    given, result = (Transfer.from_json(row) for row in info["crossings"])
    assert info["site"] == "a"
    assert given == ADD.given[0]
    assert (result.sender, result.receiver, result.kind) == ("a", SERVER, "losses")


def test_work_is_done_once_and_then_found(scene: Scene, tmp_path: Path) -> None:
    async def twice_at_once() -> Any:
        await scene.executor.run_on_client(MAKE)
        return await asyncio.gather(*(scene.executor.run_on_client(ADD) for _ in range(2)))

    one, two = run(twice_at_once)
    assert one.info == two.info
    assert len(scene.client.calls) == 2
    later = Scene(tmp_path)
    run(lambda: later.executor.run_on_client(ADD))
    assert later.client.calls == []
    assert [(row["kind"], row["status"], row["tokens"]) for row in read_log(later.log)] == [
        ("initial", "computed", 0),
        ("losses", "computed", 5),
        ("losses", "cached", 5),
    ]


def test_arrays_that_were_evicted_are_made_again_where_they_are_needed(scene: Scene) -> None:
    async def work() -> None:
        await scene.executor.run_on_client(MAKE)
        scene.store.drop_arrays(MAKE.key)
        assert await scene.executor.cached(MAKE.key) is not None
        assert await scene.executor.cached(MAKE.key, ArrayPolicy.REMATERIALIZE) is None
        entry = await scene.executor.run_on_client(ADD)
        assert entry.info["sum"] == 70

    run(work)
    assert [len(args) for args in scene.client.calls] == [0, 0, 2]
    labels = [row["label"] for row in read_log(scene.log)]
    assert labels == ["initial weights", "initial weights, once more for its arrays", "sum at a"]


def test_arrays_that_nobody_will_read_are_evicted(tmp_path: Path) -> None:
    scene = Scene(tmp_path, keep="metrics")

    async def work() -> None:
        await scene.executor.run_on_client(MAKE)
        assert (await scene.executor.entry(MAKE.key)).array("weights").tolist() == [1, 2, 4]
        await scene.executor.run_on_client(ADD)

    run(work)
    entry = scene.store.peek(MAKE.key)
    assert entry is not None
    assert entry.dropped == {"weights.npy"}


def test_work_of_the_server_is_keyed_as_well(scene: Scene) -> None:
    calls = []

    async def compare() -> tuple[list[Transfer], dict[str, pa.Table]]:
        calls.append(1)
        return [Transfer.of("a", SERVER, "hashes", b"x")], {"rows": pa.table({"n": [1]})}

    recipe = {"kind": "emissions", "version": 1}

    async def work() -> Any:
        return [await scene.executor.run_on_server(recipe, "comparison", compare) for _ in range(2)]

    one, two = run(work)
    assert one.key == two.key == key_of(recipe)
    assert len(calls) == 1
    assert [row["kind"] for row in one.info["crossings"]] == ["hashes"]


def test_errors_name_the_work(scene: Scene) -> None:
    def fail(client: Client) -> TaskOutput:
        raise RunError("no room")

    with pytest.raises(RunError, match=r"^a hard task: no room$"):
        run(lambda: scene.executor.run_on_client(Task(MODEL, "a hard task", "a", fail)))


def test_an_entry_that_is_gone_ends_the_run_with_a_message(scene: Scene) -> None:
    with pytest.raises(DamagedEntry, match="run the same command again"):
        run(lambda: scene.executor.entry(MAKE.key))


def test_a_damaged_entry_is_reported_and_made_again(scene: Scene) -> None:
    run(lambda: scene.executor.run_on_client(MAKE))
    entry = scene.store.peek(MAKE.key)
    assert entry is not None
    (entry.folder / "weights.npy").write_bytes(b"damaged")
    later = Scene(scene.log.parent)
    run(lambda: later.executor.run_on_client(MAKE))
    assert len(later.client.calls) == 1
    assert [MAKE.key in note for note in later.observer.notes] == [True]
