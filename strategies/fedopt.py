"""FedOpt: the clients' averaged change is a pseudo-gradient for an adaptive optimizer on the server.

Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar & McMahan: Adaptive Federated Optimization, ICLR 2021, arXiv
2003.00295, algorithm 2. ``variant: paper`` is that algorithm, with v_-1 = tau^2 and no bias correction; ``variant:
flower`` is what Flower 1.41 computes, with v_-1 = 0 and, for Adam, a bias-corrected rate whose exponent is the round
(from 1) plus one.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
import pydantic
from raysim.strategies.averages import chunks, scaled
from raysim.strategies.fedavg import FedAvg, WeightedSettings

from raysim.simulation.strategy import State
from raysim.training.weights import Flat


class FedOptSettings(WeightedSettings):
    """Rounds, and the server's optimizer."""

    eta: float = pydantic.Field(default=1e-2, gt=0, description="server learning rate")
    beta_1: float = pydantic.Field(default=0.9, ge=0, lt=1, description="decay of the first moment")
    beta_2: float = pydantic.Field(default=0.99, ge=0, lt=1, description="decay of the second moment")
    tau: float = pydantic.Field(default=1e-3, gt=0, description="degree of adaptivity: smaller adapts more")
    variant: Literal["paper", "flower"] = pydantic.Field(
        default="paper", description="paper: algorithm 2 as published; flower: what Flower 1.41 computes"
    )


class FedOpt(FedAvg, ABC):
    """Base of the adaptive server optimizers; a subclass says how the second moment moves."""

    Settings = FedOptSettings

    def __init__(self, settings: FedOptSettings, federation: Any) -> None:
        super().__init__(settings, federation)
        self._optimizer = settings
        self._first_v = settings.tau**2 if settings.variant == "paper" else 0.0

    def recipe(self) -> dict[str, Any]:
        numbers = self._optimizer.model_dump(include={"eta", "beta_1", "beta_2", "tau", "variant"})
        return {**super().recipe(), **numbers}

    @abstractmethod
    def _second_moment(self, v: Flat, squared: Flat) -> Flat:
        """v_t from v_t-1 and the squared pseudo-gradient."""

    def _rate(self, finished_rounds: int) -> float:
        """The server learning rate of the next round."""
        return self._optimizer.eta

    def _server_step(self, state: State, average: Flat) -> dict[str, Flat]:
        o, before, rate = self._optimizer, state.tensors, self._rate(state.round)
        m, v = np.empty_like(average), np.empty_like(average)
        for part in chunks(average.size):
            weights = before["weights"][part]
            delta = average[part] - weights
            last_m = before["m"][part] if "m" in before else np.zeros_like(delta)
            last_v = before["v"][part] if "v" in before else np.full_like(delta, self._first_v)
            m[part] = scaled(last_m, o.beta_1) + scaled(delta, 1 - o.beta_1)
            v[part] = self._second_moment(last_v, np.square(delta))
            average[part] = weights + scaled(m[part], rate) / (np.sqrt(v[part]) + np.float32(o.tau))
        return {"weights": average, "m": m, "v": v}


class FedAdam(FedOpt):
    """v_t = beta_2 v_t-1 + (1 - beta_2) delta^2."""

    name = "fedadam"

    def _second_moment(self, v: Flat, squared: Flat) -> Flat:
        beta_2 = self._optimizer.beta_2
        return scaled(v, beta_2) + scaled(squared, 1 - beta_2)

    def _rate(self, finished_rounds: int) -> float:
        o = self._optimizer
        if o.variant == "paper":
            return o.eta
        exponent = finished_rounds + 2
        return o.eta * math.sqrt(1 - o.beta_2**exponent) / (1 - o.beta_1**exponent)


class FedYogi(FedOpt):
    """v_t = v_t-1 - (1 - beta_2) delta^2 sign(v_t-1 - delta^2)."""

    name = "fedyogi"

    def _second_moment(self, v: Flat, squared: Flat) -> Flat:
        return v - scaled(squared, 1 - self._optimizer.beta_2) * np.sign(v - squared)


class FedAdagradSettings(FedOptSettings):
    """Rounds, and the server's optimizer; the paper and Flower run FedAdagrad without a first moment."""

    beta_1: float = pydantic.Field(default=0.0, ge=0, lt=1, description="decay of the first moment")


class FedAdagrad(FedOpt):
    """v_t = v_t-1 + delta^2."""

    name = "fedadagrad"
    Settings = FedAdagradSettings

    def _second_moment(self, v: Flat, squared: Flat) -> Flat:
        return v + squared
