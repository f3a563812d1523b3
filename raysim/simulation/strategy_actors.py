"""The actors of a run's strategies: each made when its strategy run begins, replaced when it is lost, ended with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import Backend, InlineBackend, Shared
from raysim.core.errors import ActorLost
from raysim.core.keys import Key
from raysim.simulation.loop import StrategyRun
from raysim.simulation.strategy import ClientUpdate
from raysim.simulation.strategy_actor import Aggregated, StrategyActor
from raysim.training.weights import Flat


@dataclass
class _Place:
    """Where the actor of a strategy run is, and of which of its states it has the tensors."""

    backend: Backend
    actor: Any
    tensors_of: Key | None = None


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
            return await place.backend.call(place.actor, method, *args)
        except ActorLost:
            self._replace(strategy_run)
            raise

    async def ensure(self, strategy_run: StrategyRun) -> None:
        """Makes sure that the actor answers: it may have been lost since its last call."""
        place = self._places[strategy_run]
        if not await place.backend.ping(place.actor):
            self._replace(strategy_run)

    def has_tensors(self, strategy_run: StrategyRun, state: Key) -> bool:
        """Whether the actor has the tensors of the state that is named by `state`."""
        return self._places[strategy_run].tensors_of == state

    async def aggregate(
        self,
        strategy_run: StrategyRun,
        tensors: Mapping[str, Flat] | None,
        results: Sequence[ClientUpdate],
        key: Key,
        weights: Sequence[Any],
    ) -> tuple[Aggregated, dict[str, Shared]]:
        """The state that `key` names, and its tensors; see `StrategyActor.aggregate`.

        Raises:
            ActorLost: the actor is lost; there is another one now.
        """
        place = self._places[strategy_run]
        aggregated, shared = None, []
        try:
            async for item in place.backend.stream(place.actor, "aggregate", tensors, results, key, *weights):
                match item:
                    case Aggregated():
                        aggregated = item
                    case Shared():
                        shared.append(item)
        except ActorLost:
            self._replace(strategy_run)
            raise
        assert aggregated is not None, "it comes first"
        place.tensors_of = key
        return aggregated, dict(zip(aggregated.tensors, shared, strict=True))

    def end(self, strategy_run: StrategyRun) -> None:
        """Ends the actor of a strategy run."""
        place = self._places.pop(strategy_run)
        place.backend.kill(place.actor)

    def _replace(self, strategy_run: StrategyRun) -> None:
        self.end(strategy_run)
        self.make(strategy_run)
