"""Training in rounds: clients train at once from the server's model, and the server makes the next one of theirs.

Here are the rounds, who trains in each, and for how long; a subclass says how the server combines what it receives.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import pydantic

from raysim.core.errors import InputError
from raysim.core.keys import Key, seed_of
from raysim.simulation.strategy import (
    ClientInfo,
    ClientUpdate,
    Family,
    Federation,
    ModelCheckpoint,
    State,
    StrategySettings,
    TrainInstruction,
)
from raysim.training.weights import Flat


class FederatedSettings(StrategySettings):
    """Rounds of training and aggregation."""

    CHOOSE_VARIANTS = frozenset({"leave_one_out"})
    ADDED = frozenset({"local_steps"})

    rounds: int = pydantic.Field(default=10, ge=1, description="rounds of training and aggregation")
    local_epochs: int | None = pydantic.Field(
        default=None,
        ge=1,
        description="epochs of a client in a round; unset: trainer.epochs shared out over the rounds",
    )
    local_steps: int | None = pydantic.Field(
        default=None,
        ge=1,
        description="optimizer steps of a client in a round, whatever its data, in place of epochs",
    )
    clients: int | None = pydantic.Field(
        default=None, ge=1, description="organizations a round, drawn anew for each; unset: all"
    )
    leave_one_out: bool = pydantic.Field(
        default=False, description="also run every federation without one of the organizations"
    )

    @pydantic.model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.local_steps and self.local_epochs:
            raise ValueError("local_steps: stands in place of local_epochs; leave one of them out")
        return self

    def epochs_a_round(self, epochs: int) -> int:
        """Local epochs of a client in a round, where `trainer.epochs` is `epochs`; `local_steps` count as one."""
        if self.local_steps:
            return 1
        return self.local_epochs or max(1, epochs // self.rounds)

    def cautions(self, epochs: int) -> Sequence[str]:
        local = self.epochs_a_round(epochs)
        if self.local_steps or self.local_epochs or local * self.rounds == epochs:
            return ()
        return [
            f"rounds: {self.rounds} of trainer.epochs: {epochs} trains {local * self.rounds} epochs, {local} a round;"
            " write rounds that divide the epochs, or local_epochs"
        ]


class FederatedStrategy(ABC):
    """Rounds of all clients or some of them. Subclasses say what becomes of what they send."""

    Settings: type[StrategySettings] = FederatedSettings
    name: ClassVar[str]
    """In the recipe of an aggregation."""
    family: ClassVar[Family] = "federated"
    fraction = 1.0
    aggregates = True

    def __init__(self, settings: FederatedSettings, federation: Federation) -> None:
        self._settings = settings
        self._all_clients = federation.clients
        self.members = federation.names
        self._keep = federation.client_state == "keep"
        self._seed = federation.seed
        self._local_epochs = settings.epochs_a_round(federation.epochs)
        self.order = " + ".join(federation.names)

    @classmethod
    def variants(cls, settings: FederatedSettings, federation: Federation) -> Sequence[Self]:
        """One variant, and with `leave_one_out` one more for each organization that is left out.

        Raises:
            InputError: more clients a round than there are organizations, or none left when one is left out.
        """
        federations = [federation]
        if settings.leave_one_out:
            federations += [federation.without(name) for name in federation.names]
        smallest = min(len(part.clients) for part in federations)
        if not smallest:
            raise InputError("leave_one_out: needs two organizations or more")
        if settings.clients is not None and settings.clients > smallest:
            raise InputError(f"clients: {settings.clients} a round, but there are {smallest} organizations")
        return [cls(settings, part) for part in federations]

    def recipe(self) -> dict[str, Any]:
        return {"strategy": self.name, "version": 1}

    def init(self, model: Key, weights: Flat) -> State:
        return State(model, tensors={"weights": weights})

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        if state.round == self._settings.rounds:
            return []
        return [
            TrainInstruction(
                (client.name,),
                state.model,
                self._local_epochs,
                self._local_epochs * self._rounds_in_schedule(client),
                state.client_states.get(client.name),
                self._keep,
                epoch_steps=self._settings.local_steps,
            )
            for client in self._clients(state.round)
        ]

    @abstractmethod
    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        """See `raysim.simulation.strategy.Strategy.apply`; `_states_kept` says what becomes of clients' states."""

    def checkpoints(self, state: State) -> Sequence[ModelCheckpoint]:
        if state.round == 0:
            return [ModelCheckpoint(state.model, "initial", 0, final=False)]
        final = state.round == self._settings.rounds
        return [ModelCheckpoint(state.model, "round", state.round, final)]

    def _clients(self, finished_rounds: int) -> Sequence[ClientInfo]:
        """The clients of the next round, in the federation's order.

        Those with the smallest of numbers that are drawn by seed, round and name alone: settings of one seed see the
        same clients, and a federation without an organization those of the whole one as far as they are there.
        """
        if self._settings.clients is None:
            return self._all_clients
        drawn = {c.name: seed_of(self._seed, "clients", finished_rounds, c.name) for c in self._all_clients}
        chosen = set(sorted(drawn, key=drawn.__getitem__)[: self._settings.clients])
        return [client for client in self._all_clients if client.name in chosen]

    def _rounds_in_schedule(self, client: ClientInfo) -> int:
        """Rounds that a client's schedule spans: a reset one starts anew in each, a kept one ends with its last."""
        if not self._keep:
            return 1
        return self._turns[client.name]

    @cached_property
    def _turns(self) -> Counter[str]:
        """Rounds in which each client trains, over all of the setting."""
        return Counter(client.name for number in range(self._settings.rounds) for client in self._clients(number))

    def _states_kept(self, state: State, results: Sequence[ClientUpdate]) -> dict[str, Key]:
        """For each organization the key of its last stage, where clients keep their states."""
        kept = {r.instruction.organizations[0]: r.key for r in results} if self._keep else {}
        return {**state.client_states, **kept}


class Combining(FederatedStrategy):
    """The server combines the clients' weights into one buffer. Subclasses say how, and perhaps `_server_step`."""

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        tensors = self._server_step(state, self._combine(state, results))
        return State(key, state.round + 1, self._states_kept(state, results), tensors)

    @abstractmethod
    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        """One buffer of the clients' weights, float32 ``[num_parameters]``."""

    def _server_step(self, state: State, average: Flat) -> dict[str, Flat]:
        """The server's buffers after it has combined the clients' weights into `average`, which it may overwrite."""
        return {"weights": average}
