"""FedAvgM: federated averaging with momentum on the server.

Hsu, Qi & Brown: Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification, 2019,
arXiv 1909.06335, section 4.3: ``v = momentum v + change``, ``weights = weights + eta v``.
"""

from typing import Any

import pydantic
from raysim.strategies.averages import scaled
from raysim.strategies.fedavg import FedAvg, WeightedSettings

from raysim.simulation.strategy import Federation, State
from raysim.training.weights import Flat


class FedAvgMSettings(WeightedSettings):
    """Rounds, and the server's momentum and learning rate."""

    momentum: float = pydantic.Field(default=0.9, ge=0, lt=1, description="share of the last step that is kept")
    eta: float = pydantic.Field(default=1.0, gt=0, description="server learning rate")


class FedAvgM(FedAvg):
    """The clients' averaged change is a pseudo-gradient for gradient descent with momentum on the server."""

    Settings = FedAvgMSettings
    name = "fedavgm"

    def __init__(self, settings: FedAvgMSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._momentum, self._eta = settings.momentum, settings.eta

    def recipe(self) -> dict[str, Any]:
        return {**super().recipe(), "momentum": self._momentum, "eta": self._eta}

    def _server_step(self, state: State, average: Flat) -> dict[str, Flat]:
        weights = state.tensors["weights"]
        velocity = average - weights
        if "velocity" in state.tensors:
            velocity += scaled(state.tensors["velocity"], self._momentum)
        return {"weights": weights + scaled(velocity, self._eta), "velocity": velocity}
