"""Training in rounds: clients train at once from the server's model, and the server makes the next one of theirs.

Here are the rounds, who trains in each, and for how long; a subclass says how the server combines what it receives.
Where organizations may be missing (`availability`), who will be is known beforehand, and they are not trained at all.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import pydantic
from raysim.strategies.adapters import AdapterAverage, check_adapters
from raysim.strategies.availability import Availability, AvailabilitySettings

from raysim.core.errors import InputError
from raysim.core.keys import Key, seed_of
from raysim.simulation.early_stop import EarlyStop, EarlyStopSettings
from raysim.simulation.participation import ClientParticipation, RoundParticipation
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
from raysim.training.batches import rows_in
from raysim.training.compression import CompressionSettings
from raysim.training.upload_form import UploadForm
from raysim.training.weights import Flat


class FederatedSettings(StrategySettings):
    """Rounds of training and aggregation."""

    CHOOSE_VARIANTS = frozenset({"leave_one_out"})
    ADDED = frozenset({"local_steps", "compression", "availability", "early_stop"})

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
    compression: CompressionSettings | None = pydantic.Field(
        default=None, description="of what clients send to the server; unset: their whole weights"
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _sums_are_enough(cls, value: Any) -> Any:
        given = value.get("secure_aggregation") if isinstance(value, dict) else None
        if given is not None and "secure_aggregation" not in cls.model_fields:
            raise ValueError(
                "secure_aggregation: this server needs each client's update, and would see their sum alone; take"
                " fedavg, fedavgm, fedprox, fedadam, fedyogi, fedadagrad or personalized, or leave it out"
            )
        return value

    availability: AvailabilitySettings | None = pydantic.Field(
        default=None, description="who is slow, late or gone in a round, in simulated time; unset: nobody, and no time"
    )
    early_stop: EarlyStopSettings | None = pydantic.Field(
        default=None, description="ends the rounds by validation losses; unset: all are trained"
    )

    @pydantic.model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.local_steps and self.local_epochs:
            raise ValueError("local_steps: stands in place of local_epochs; leave one of them out")
        return self

    @pydantic.model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        if self.early_stop:
            self.early_stop.check(self.rounds)
        return self

    @property
    def way_of_adapters(self) -> AdapterAverage:
        """How low-rank adapters are averaged: what the field `adapters` says, where there is one."""
        return getattr(self, "adapters", "factors")

    def epochs_a_round(self, epochs: int) -> int:
        """Local epochs of a client in a round, where `trainer.epochs` is `epochs`; `local_steps` count as one."""
        if self.local_steps:
            return 1
        return self.local_epochs or max(1, epochs // self.rounds)

    def least_clients(self, organizations: int) -> int:
        """How many of `organizations` take part in a round at least.

        Raises:
            InputError: a round goes on only with more than it has.
        """
        selected = min(self.clients or organizations, organizations)
        return self.availability.least(selected) if self.availability else selected

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
        tokens = {client.name: self._round_tokens(client, federation) for client in federation.clients}
        model = settings.availability
        self._availability = Availability(model, federation.seed, tokens) if model else None

    @classmethod
    def variants(cls, settings: FederatedSettings, federation: Federation) -> Sequence[Self]:
        """One variant, and with `leave_one_out` one more for each organization that is left out.

        Raises:
            InputError: more clients a round than there are organizations, none left when one is left out,
                `availability` that does not fit them, or a way of averaging adapters that does not fit the model.
        """
        check_adapters(settings.way_of_adapters, federation.adapters)
        if settings.availability:
            settings.availability.check_names(federation.names)
        federations = [federation]
        if settings.leave_one_out:
            federations += [federation.without(name) for name in federation.names]
        smallest = min(len(part.clients) for part in federations)
        if not smallest:
            raise InputError("leave_one_out: needs two organizations or more")
        if settings.clients is not None and settings.clients > smallest:
            raise InputError(f"clients: {settings.clients} a round, but there are {smallest} organizations")
        settings.least_clients(smallest)
        return [cls(settings, part) for part in federations]

    def recipe(self) -> dict[str, Any]:
        return {"strategy": self.name, "version": 1}

    def init(self, model: Key, weights: Flat) -> State:
        return State(model, tensors={"weights": weights})

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        if state.round == self._settings.rounds or self.ends(state):
            return []
        clients = self._participants(state.round)
        return [self._instruction(state, client, self._upload(state, client)) for client in clients]

    @abstractmethod
    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        """See `raysim.simulation.strategy.Strategy.apply`; `_states_kept` says what becomes of clients' states."""

    def checkpoints(self, state: State) -> Sequence[ModelCheckpoint]:
        if state.round == 0:
            return [ModelCheckpoint(state.model, "initial", 0, final=False)]
        final = state.round == self._settings.rounds
        return [ModelCheckpoint(state.model, "round", state.round, final)]

    def participation(self) -> Iterable[RoundParticipation]:
        """See `raysim.simulation.participation.TakesAttendance`."""
        if self._availability:
            return self._drawn_rounds
        return (
            RoundParticipation(tuple(ClientParticipation(client.name, True) for client in self._clients(number)))
            for number in range(self._settings.rounds)
        )

    def ends(self, state: State) -> str:
        """Why the run ends in the round after `state`; empty: it goes on."""
        if not self._availability or state.round >= self._settings.rounds:
            return ""
        return self._drawn_rounds[state.round].ends

    def early_stop(self) -> EarlyStop | None:
        """See `raysim.simulation.early_stop.StopsEarly`."""
        settings = self._settings.early_stop
        return EarlyStop(settings, self._settings.rounds) if settings else None

    @cached_property
    def _drawn_rounds(self) -> tuple[RoundParticipation, ...]:
        """Who is there in each round, up to one in which the run ends; drawn once, for schedules span many rounds."""
        assert self._availability is not None, "organizations may be missing"
        found: list[RoundParticipation] = []
        while len(found) < self._settings.rounds and not (found and found[-1].ends):
            number = len(found)
            found.append(self._availability.round(number, [client.name for client in self._clients(number)]))
        return tuple(found)

    def _participants(self, finished_rounds: int) -> Sequence[ClientInfo]:
        """The clients of the next round that the server aggregates, in the federation's order."""
        selected = self._clients(finished_rounds)
        if not self._availability:
            return selected
        there = self._drawn_rounds[finished_rounds].names
        return [client for client in selected if client.name in there]

    def _round_tokens(self, client: ClientInfo, federation: Federation) -> int:
        """Tokens that a client trains on in a round."""
        sequences = client.num_sequences * self._local_epochs
        if self._settings.local_steps:
            sequences = rows_in(self._settings.local_steps, client.num_sequences, federation.batch_size)
        return sequences * federation.sequence_length

    def _clients(self, finished_rounds: int) -> Sequence[ClientInfo]:
        """The clients that are selected for the next round, in the federation's order.

        Those with the smallest of numbers that are drawn by seed, round and name alone: settings of one seed see the
        same clients, and a federation without an organization those of the whole one as far as they are there.
        """
        if self._settings.clients is None:
            return self._all_clients
        drawn = {c.name: seed_of(self._seed, "clients", finished_rounds, c.name) for c in self._all_clients}
        chosen = set(sorted(drawn, key=drawn.__getitem__)[: self._settings.clients])
        return [client for client in self._all_clients if client.name in chosen]

    def _instruction(self, state: State, client: ClientInfo, upload: UploadForm | None) -> TrainInstruction:
        past = state.client_states.get(client.name)
        return TrainInstruction(
            (client.name,),
            state.model,
            self._local_epochs,
            self._local_epochs * self._rounds_in_schedule(client),
            past if self._keep else None,
            self._keep,
            epoch_steps=self._settings.local_steps,
            upload=upload,
            upload_state=past if upload and upload.client_buffers else None,
        )

    def _upload(self, state: State, client: ClientInfo) -> UploadForm | None:
        """The form in which a client's update leaves it in the next round."""
        del state, client
        compression = self._settings.compression
        return compression.form if compression else None

    def _rounds_in_schedule(self, client: ClientInfo) -> int:
        """Rounds that a client's schedule spans: a reset one starts anew in each, a kept one ends with its last."""
        if not self._keep:
            return 1
        return self._turns[client.name]

    @cached_property
    def _turns(self) -> Counter[str]:
        """Rounds in which each client trains, over all of the setting."""
        rounds = len(self._drawn_rounds) if self._availability else self._settings.rounds
        return Counter(client.name for number in range(rounds) for client in self._participants(number))

    def _states_kept(self, state: State, results: Sequence[ClientUpdate]) -> dict[str, Key]:
        """For each organization the key of its last stage, where it keeps something from one round to the next."""
        keeping = [r for r in results if self._keep or (r.instruction.upload and r.instruction.upload.client_buffers)]
        return {**state.client_states, **{r.instruction.organizations[0]: r.key for r in keeping}}


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
