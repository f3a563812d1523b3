"""The actors of a run's strategies: each made when its strategy run begins, replaced when it is lost, ended with it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from raysim.cluster.actor_pool import TRUSTED_S, ActorPool
from raysim.cluster.backend import Backend, InlineBackend, Shared
from raysim.core.errors import ActorLost
from raysim.core.keys import Key
from raysim.simulation.loop import StrategyRun
from raysim.simulation.strategy import ClientUpdate
from raysim.simulation.strategy_actor import Aggregated, RoundPlan, StrategyActor


@dataclass
class _Place:
    """Where the actor of a strategy run is, and when it last answered.

    Attributes:
        made: key of the state that its last aggregation made.
        plan: of that state.
        tensors: of that state, by what they reach actors.
    """

    backend: Backend
    actor: Any
    made: Key | None = None
    plan: RoundPlan | None = None
    tensors: Mapping[str, Any] = field(default_factory=dict)
    answered_s: float = -math.inf


class StrategyActors:
    """Calls the actors of strategies. What a lost one held is in the store, or comes along with the next call."""

    def __init__(self, pool: ActorPool) -> None:
        self._pool = pool
        self._places: dict[StrategyRun, _Place] = {}

    def make(self, strategy_run: StrategyRun) -> None:
        """Starts the actor of a strategy run.

        A strategy that does not aggregate holds nothing but keys: a process for each order would only cost memory.
        """
        backend = self._pool.backend if strategy_run.strategy.aggregates else InlineBackend()
        adapters = strategy_run.context.federation.adapters
        if adapters and strategy_run.strategy.aggregates:
            adapters = adapters.looked_up()
        actor = backend.spawn(StrategyActor, strategy_run.strategy, adapters)
        self._places[strategy_run] = _Place(backend, actor)

    async def ask(self, strategy_run: StrategyRun, method: str, *args: Any) -> Any:
        """The result of a method; a lost actor is replaced and called again, so `args` are all that a new one needs."""
        attempt = partial(self.call, strategy_run, method, *args)
        return await self._pool.retrying.run(f"{strategy_run.name}: strategy", attempt)

    async def call(self, strategy_run: StrategyRun, method: str, *args: Any) -> Any:
        """The result of a method.

        Raises:
            ActorLost: the actor is lost; there is another one now.
        """
        place = self._places[strategy_run]
        try:
            answer = await place.backend.call(place.actor, method, *args)
            place.answered_s = time.monotonic()
            return answer
        except ActorLost:
            self._replace(strategy_run)
            raise

    async def ensure(self, strategy_run: StrategyRun) -> None:
        """Makes sure that the actor answers: it may have been lost since its last call, if that is a while ago."""
        place = self._places[strategy_run]
        if time.monotonic() - place.answered_s > TRUSTED_S and not await place.backend.ping(place.actor):
            self._replace(strategy_run)

    def tensors(self, strategy_run: StrategyRun, state: Key) -> Mapping[str, Any] | None:
        """By what the tensors of the state that `state` names reach actors; None: they are in the store alone."""
        place = self._places[strategy_run]
        return place.tensors if place.made == state else None

    async def plan_after(self, strategy_run: StrategyRun, state: Key, control: Mapping[str, Any]) -> RoundPlan:
        """The plan of the state that `state` and `control` name: of the last aggregation, or made by the actor now."""
        place = self._places[strategy_run]
        if place.plan and place.made == state:
            return place.plan
        return await self.ask(strategy_run, "restore", control)

    async def aggregate(
        self,
        strategy_run: StrategyRun,
        tensors: Mapping[str, Any],
        results: Sequence[ClientUpdate],
        key: Key,
        weights: list[Any],
        let_go: Callable[[], None] = lambda: None,
    ) -> tuple[Aggregated, dict[str, Shared]]:
        """The state that `key` names, and its tensors; see `StrategyActor.aggregate`.

        Args:
            strategy_run: whose actor is asked.
            tensors: of the state, by name: arrays, or by what they reach actors.
            results: in the order of the plan, without weights.
            key: of the model that is made here.
            weights: for each result; the list is empty afterwards.
            let_go: called once what was given is needed no more, before the new tensors travel.

        Raises:
            ActorLost: the actor is lost; there is another one now.
        """
        place = self._places[strategy_run]
        try:
            given = *tensors.values(), *weights
            aggregated = await place.backend.call(place.actor, "aggregate", tuple(tensors), results, key, *given)
            del given
            weights.clear()
            let_go()
            made = [item async for item in place.backend.stream(place.actor, "new_tensors")]
        except ActorLost:
            self._replace(strategy_run)
            raise
        shared = dict(zip(aggregated.tensors, made, strict=True))
        place.made, place.plan, place.answered_s = key, aggregated.plan, time.monotonic()
        place.tensors = {name: one.handle for name, one in shared.items()}
        return aggregated, shared

    def end(self, strategy_run: StrategyRun) -> None:
        """Ends the actor of a strategy run."""
        place = self._places.pop(strategy_run)
        place.backend.kill(place.actor)

    def _replace(self, strategy_run: StrategyRun) -> None:
        self.end(strategy_run)
        self.make(strategy_run)
