"""FedAvgM: federated averaging with momentum on the server.

Hsu, Qi & Brown: Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification, 2019,
arXiv 1909.06335, section 4.3: ``v = momentum * v + change``, ``weights = weights + v``.
"""

from typing import Any

import numpy as np
import pydantic

from raysim.simulation.strategy import Federation, State
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.training.weights import Flat


class FedAvgMSettings(FedAvgSettings):
    """Rounds, and the server's momentum."""

    momentum: float = pydantic.Field(default=0.9, ge=0, lt=1, description="share of the last step that is kept")


class FedAvgM(FedAvg):
    """Plans and checkpoints are FedAvg's; only the server's step is another."""

    Settings = FedAvgMSettings

    def __init__(self, settings: FedAvgMSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._momentum = settings.momentum

    def recipe(self) -> dict[str, Any]:
        """Decides the key of an aggregation; raise the version when the same settings give other numbers."""
        return {"strategy": "fedavgm", "version": 1, "momentum": self._momentum}

    def _server_step(self, state: State, average: Flat) -> dict[str, Flat]:
        """Weights and velocity after a round. Buffers are float32; in a plan they have no elements."""
        change = average - state.tensors["weights"]
        velocity = state.tensors.get("velocity", np.zeros_like(change))
        velocity = np.multiply(velocity, self._momentum, dtype=np.float32) + change
        return {"weights": state.tensors["weights"] + velocity, "velocity": velocity}
