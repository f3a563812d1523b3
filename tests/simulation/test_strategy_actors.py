"""Actors of strategies: made, asked, replaced when they are lost, without a word of what they were asked being lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import InlineBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.core.errors import ActorLost
from raysim.simulation.loop import StrategyRun
from raysim.simulation.strategy import ClientUpdate
from raysim.simulation.strategy_actors import StrategyActors

WEIGHTS = {"weights": np.zeros(2, np.float32)}


class Losing(InlineBackend):
    """Loses the actor at the given calls, counted over all methods."""

    def __init__(self, *lost: int) -> None:
        self.lost = lost
        self.calls: list[str] = []
        self.ended = 0
        self.answers = True

    def _meet(self, method: str) -> None:
        self.calls.append(method)
        if len(self.calls) in self.lost:
            raise ActorLost("gone")

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        self._meet(method)
        return await super().call(actor, method, *args)

    async def stream(self, actor: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        self._meet(method)
        async for item in super().stream(actor, method, *args):
            yield item

    async def ping(self, actor: Any) -> bool:
        return self.answers

    def kill(self, actor: Any) -> None:
        self.ended += 1


@pytest.fixture
def fedavg(make_context: Callable[..., Any], strategy_runs_of: Callable[..., list[StrategyRun]]) -> StrategyRun:
    (run,) = strategy_runs_of(make_context({"a": 1, "b": 3}), [{"fedavg": {"rounds": 2}}])
    return run


def actors_on(backend: Losing) -> StrategyActors:
    retrying = Retrying(RetryPolicy(2), print, backend.await_failure_detection)
    return StrategyActors(ActorPool(backend, Scheduler(1, 1), retrying))


def updates(instructions: Any) -> list[ClientUpdate]:
    return [
        ClientUpdate(one, f"trained {one.organizations[0]}", n) for one, n in zip(instructions, (1, 3), strict=True)
    ]


async def one_round(actors: StrategyActors, run: StrategyRun) -> Any:
    plan = await actors.ask(run, "begin", "initial")
    weights = [np.array([0, 8], np.float32), np.array([4, 0], np.float32)]
    return await actors.aggregate(run, WEIGHTS, updates(plan.instructions), "average", weights)


def test_a_round(fedavg: StrategyRun) -> None:
    async def scenario() -> None:
        backend = Losing()
        actors = actors_on(backend)
        actors.make(fedavg)
        aggregated, tensors = await one_round(actors, fedavg)
        assert tensors["weights"].value.tolist() == [3.0, 2.0]
        assert tensors["weights"].handle is tensors["weights"].value
        assert aggregated.control["model"] == "average"
        assert await actors.plan_after(fedavg, "average", aggregated.control) is aggregated.plan
        assert (await actors.plan_after(fedavg, "another", aggregated.control)).control == aggregated.control
        assert actors.tensors(fedavg, "average") == {"weights": tensors["weights"].handle}
        assert actors.tensors(fedavg, "initial") is None
        actors.end(fedavg)
        assert (backend.calls, backend.ended) == (["begin", "aggregate", "new_tensors", "restore"], 1)

    asyncio.run(scenario())


def test_a_lost_actor_is_replaced_and_asked_again(fedavg: StrategyRun) -> None:
    async def scenario() -> None:
        backend = Losing(1)
        actors = actors_on(backend)
        actors.make(fedavg)
        plan = await actors.ask(fedavg, "begin", "initial")
        assert len(plan.instructions) == 2
        assert (backend.calls, backend.ended) == (["begin", "begin"], 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("lost", [4, 5], ids=["while it works", "before it has handed out what it made"])
def test_an_actor_that_is_lost_in_an_aggregation_leaves_one_without_tensors(fedavg: StrategyRun, lost: int) -> None:
    async def scenario() -> None:
        backend, said = Losing(lost), []
        actors = actors_on(backend)
        actors.make(fedavg)
        aggregated, _ = await one_round(actors, fedavg)
        again, weights = updates(aggregated.plan.instructions), [np.zeros(2, np.float32)] * 2
        with pytest.raises(ActorLost):
            await actors.aggregate(fedavg, WEIGHTS, again, "second", weights, lambda: said.append(list(weights)))
        assert said == ([] if lost == 4 else [[]])
        assert actors.tensors(fedavg, "average") is None
        plan = await actors.call(fedavg, "restore", aggregated.control)
        assert {one.model for one in plan.instructions} == {"average"}

    asyncio.run(scenario())


def test_an_actor_that_does_not_answer_is_replaced_beforehand(
    fedavg: StrategyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        backend = Losing()
        actors = actors_on(backend)
        actors.make(fedavg)
        await one_round(actors, fedavg)
        await actors.ensure(fedavg)
        assert actors.tensors(fedavg, "average")
        backend.answers = False
        await actors.ensure(fedavg)
        assert actors.tensors(fedavg, "average")  # it answered just now
        monkeypatch.setattr("raysim.simulation.strategy_actors.TRUSTED_S", 0.0)
        await actors.ensure(fedavg)
        assert actors.tensors(fedavg, "average") is None
        assert backend.ended == 1

    asyncio.run(scenario())
