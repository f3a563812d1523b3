"""Flower: any strategy of Flower's message API, unmodified, over raysim's organizations.

Beutel, Topal, Mathur, Qiu, Fernandez-Marques, Gao, Sani, Li, Parcollet, de Gusmao & Lane: Flower: A Friendly Federated
Learning Research Framework, 2020, arXiv 2007.14390. Flower's class decides who trains and what becomes of the replies;
what it keeps between rounds is in the `State`, so that a run resumes to the same bits.
"""

import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pydantic
from raysim.strategies.federated import FederatedSettings, FederatedStrategy

from raysim.core.errors import Adjusted, InputError
from raysim.core.keys import Key, versions_of
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State, TrainInstruction
from raysim.training.objectives import ObjectiveConfig

if TYPE_CHECKING:
    from raysim.strategies.flower_rounds import FlowerRounds


class FlowerSettings(FederatedSettings):
    """Rounds, and the class of Flower's that decides what happens in them."""

    strategy: str = pydantic.Field(
        default="flwr.serverapp.strategy.FedAvg",
        description="class that derives from flwr.serverapp.strategy.Strategy: package.module.Class or module:Class",
    )
    arguments: dict[str, pydantic.JsonValue] = pydantic.Field(
        default_factory=dict,
        description="of its constructor; for one that is a strategy itself, {strategy: CLASS, arguments: {...}}",
    )
    version: int = pydantic.Field(
        default=1, ge=1, description="of a class of your own: raise it when the class would give other numbers"
    )
    clients: int | None = pydantic.Field(
        default=None,
        ge=1,
        description="organizations that the class chooses from in a round, drawn anew for each; unset: all",
    )

    def packages(self) -> Sequence[str]:
        module = self.strategy.partition(":")[0].partition(".")[0]
        return tuple(dict.fromkeys(["flwr", *filter(None, [module])]))


@dataclass(frozen=True)
class RehearsedRound:
    """What a round asks for, whatever the weights are.

    Attributes:
        proximal_mu: for each node that is asked to train the weight of FedProx's proximal term, 0 for none.
        memory: what the class keeps after it, with the numbers of the rehearsal.
        arrays: names of the arrays that it keeps.
    """

    proximal_mu: Mapping[int, float]
    memory: Mapping[str, Any]
    arrays: tuple[str, ...]


class Flower(FederatedStrategy):
    """Plans and checkpoints are those of all federated strategies; who trains, and the server's step, are Flower's.

    All rounds are rehearsed with a model of four numbers when the object is made: so who trains when is known without
    weights, and what Flower refuses is known before anything is trained.

    Raises:
        InputError: Flower is not installed, the class or its arguments do not fit, or it asks for what raysim's
            organizations cannot do.
    """

    Settings = FlowerSettings

    def __init__(self, settings: FlowerSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._flower = settings
        self._nodes = {client.name: number for number, client in enumerate(federation.clients, start=1)}
        there = [self._available(finished) for finished in range(settings.rounds)]
        metrics = {self._nodes[one.name]: _metrics(one.num_sequences, 1.0) for one in federation.clients}
        rounds = self._flower_rounds()
        self._class_name = rounds.class_name
        rehearsed, remarks = rounds.rehearse(there, metrics, self._answering)
        self._rehearsed = tuple(RehearsedRound(*one) for one in rehearsed)
        for remark in remarks:
            warnings.warn(f"strategies: {settings.label or 'flower'}: {self._class_name}: {remark}", Adjusted, 2)

    def recipe(self) -> dict[str, Any]:
        own = {"class_version": self._flower.version} if self._flower.version > 1 else {}
        arguments = self._flower.arguments
        named = {"strategy": "flower", "version": 1, "class": self._class_name, "arguments": arguments}
        return {**named, "libraries": versions_of("flwr"), **own}

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [
            replace(one, objective=self._objective(state.round, one.organizations[0])) for one in super().plan(state)
        ]

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        """The state after Flower's class has made a model of `results`.

        Clients' halves of Flower's algorithms that change what they send, such as clipping it, happen here.

        Raises:
            RunError: the class failed, made no model, or wants others to train than when it was rehearsed.
        """
        weights, rehearsed = state.tensors["weights"], self._rehearsed[state.round]
        if weights.size:
            there, number = self._available(state.round), state.round + 1
            replies = {
                self._nodes[result.instruction.organizations[0]]: (
                    result.weights,
                    _metrics(result.num_sequences, result.metrics.get("last_epoch_loss")),
                )
                for result in results
            }
            tensors, memory = self._flower_rounds().play(
                number, state.tensors, state.memory, there, rehearsed.proximal_mu, replies
            )
        else:
            tensors, memory = dict.fromkeys(["weights", *rehearsed.arrays], weights), rehearsed.memory
        return State(key, state.round + 1, self._states_kept(state, results), tensors, memory)

    def _clients(self, finished_rounds: int) -> Sequence[ClientInfo]:
        asked = self._rehearsed[finished_rounds].proximal_mu
        return [client for client in self._all_clients if self._nodes[client.name] in asked]

    def _answering(self, number: int, asked: Collection[int]) -> Collection[int]:
        """Of the nodes that are asked in round `number` (from 1) those that answer; nobody: the run ends there.

        Raises:
            InputError: the round is to go on only with more than are asked.
        """
        if not self._availability:
            return asked
        names = [name for name, node in self._nodes.items() if node in asked]
        self._availability.settings.least(len(names))
        return [self._nodes[name] for name in self._availability.round(number - 1, names).names]

    def _available(self, finished_rounds: int) -> list[int]:
        """Nodes that are there in the next round."""
        return [self._nodes[client.name] for client in super()._clients(finished_rounds)]

    def _objective(self, finished_rounds: int, name: str) -> ObjectiveConfig | None:
        mu = self._rehearsed[finished_rounds].proximal_mu[self._nodes[name]]
        return ObjectiveConfig("proximal", {"mu": mu}) if mu else None

    def _flower_rounds(self) -> "FlowerRounds":
        """Imports Flower, which takes seconds that a run without it need not wait.

        Raises:
            InputError: Flower is not installed.
        """
        os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of what Flower imports
                from raysim.strategies.flower_rounds import FlowerRounds
        except ImportError as error:
            raise InputError(f"needs Flower 1.41 ({error}); pip install 'raysim[flower]'") from error
        return FlowerRounds(self._flower.strategy, self._flower.arguments, self._seed)


def _metrics(num_examples: int, train_loss: float | None) -> dict[str, float]:
    """What a client reports; `train_loss` in nats a token, the mean of its last epoch."""
    return {"num-examples": num_examples, **({} if train_loss is None else {"train_loss": float(train_loss)})}
