"""SCAFFOLD: clients correct their gradients by control variates, so that they do not drift apart within a round.

Karimireddy, Kale, Mohri, Reddi, Stich & Suresh: SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, ICML
2020, arXiv 1910.06378, algorithm 1, option II. The server's variate is c. What a client's own changes by,
``(x - y_i) / (K eta) - c``, follows from what it sends anyway, so its own never leaves it, and the server steps by

    x + eta_g / |S| sum_S (y_i - x),    c + 1 / N sum_S ((x - y_i) / (K eta) - c).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pydantic
from raysim.strategies.averages import scaled, weighted_average
from raysim.strategies.federated import Combining, FederatedSettings

from raysim.core.keys import Key
from raysim.simulation.strategy import ClientUpdate, Federation, State, TrainInstruction
from raysim.training.control_variates import CONTROL
from raysim.training.objectives import ObjectiveConfig
from raysim.training.weights import Flat


class ScaffoldSettings(FederatedSettings):
    """Rounds, and the server's step. Needs `trainer.optimizer: sgd`."""

    eta: float = pydantic.Field(default=1.0, gt=0, description="global step size: of the clients' average change")


class Scaffold(Combining):
    """All clients count alike, as published; a client that is not drawn keeps its control variate."""

    Settings = ScaffoldSettings
    name = "scaffold"

    def __init__(self, settings: ScaffoldSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._eta = settings.eta
        self.takes_average = settings.eta == 1

    def client_shares(self, results: Sequence[ClientUpdate]) -> Sequence[float]:
        """See `raysim.simulation.strategy.Averaging`."""
        return [1 / len(results)] * len(results)

    def recipe(self) -> dict[str, Any]:
        return {**super().recipe(), "eta": self._eta}

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [
            replace(
                instruction,
                client_state=instruction.client_state if self._keep else None,
                objective=ObjectiveConfig("control_variates"),
                objective_state=state.client_states.get(instruction.organizations[0]),
            )
            for instruction in super().plan(state)
        ]

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        after = super().apply(state, results, key)
        last_stages = {r.instruction.organizations[0]: r.key for r in results}
        tensors = {**after.tensors, CONTROL: self._control(state, results)}
        return replace(after, client_states={**state.client_states, **last_stages}, tensors=tensors)

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        return weighted_average([r.weights for r in results], [1] * len(results))

    def _server_step(self, state: State, average: Flat) -> dict[str, Flat]:
        weights = state.tensors["weights"]
        return {"weights": average if self._eta == 1 else weights + scaled(average - weights, self._eta)}

    def _control(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        """The server's control variate after a round."""
        weights, number = state.tensors["weights"], len(self._all_clients)
        before = state.tensors.get(CONTROL, np.zeros_like(weights))
        control = scaled(before, 1 - len(results) / number)
        for result in results:
            control += scaled(weights - result.weights, 1 / (number * result.learning_rate_sum))
        return control
