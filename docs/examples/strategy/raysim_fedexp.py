"""FedExP: federated averaging whose server extrapolates, the further the less its clients agree.

Jhunjhunwala, Wang & Joshi: FedExP: Speeding Up Federated Averaging via Extrapolation, ICLR 2023, arXiv 2301.09604:
of M clients that changed by d_i, and the average change d, the server steps by
``max(1, sum |d_i|^2 / (2 M (|d|^2 + epsilon))) * d``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pydantic

from raysim.simulation.strategy import ClientUpdate, Federation, State
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.training.weights import Flat


class FedExPSettings(FedAvgSettings):
    """Rounds, and what keeps the step finite where changes cancel."""

    epsilon: float = pydantic.Field(default=1e-3, gt=0, description="added to the squared norm of the average change")


class FedExP(FedAvg):
    """Plans and checkpoints are FedAvg's; only what the server makes of a round is another."""

    Settings = FedExPSettings
    name = "fedexp"

    def __init__(self, settings: FedExPSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._epsilon = settings.epsilon

    def recipe(self) -> dict[str, Any]:
        """Decides the key of an aggregation; raise the version when the same settings give other numbers."""
        return {**super().recipe(), "version": 1, "epsilon": self._epsilon}

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        """The weights after a round. Buffers are float32; in a plan they have no elements."""
        before = state.tensors["weights"]
        change = super()._combine(state, results) - before
        squares = sum(float(np.square(result.weights - before).sum()) for result in results)
        rate = squares / (2 * len(results) * (float(np.square(change).sum()) + self._epsilon))
        return before + np.multiply(change, max(1.0, rate), dtype=np.float32)
