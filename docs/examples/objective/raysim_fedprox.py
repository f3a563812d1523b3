"""FedProx: FedAvg whose clients are penalized for moving away from the server's weights.

Li, Sahu, Zaheer, Sanjabi, Talwalkar & Smith: Federated Optimization in Heterogeneous Networks, MLSys 2020, arXiv
1812.06127: each client minimizes its loss plus ``mu / 2 * |w - w_server|^2``.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pydantic
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.training.objectives import Objective, ObjectiveConfig

from raysim.core.settings import Settings
from raysim.simulation.strategy import Federation, State, TrainInstruction

if TYPE_CHECKING:
    import torch


class ProximalSettings(Settings):
    """Strength of the pull."""

    mu: float = pydantic.Field(default=0.01, ge=0, description="weight of the squared distance")


class Proximal(Objective):
    """The local objective: what a client adds to its loss, in every step."""

    Settings = ProximalSettings

    def __init__(self, settings: ProximalSettings) -> None:
        self._mu = settings.mu

    def recipe(self) -> dict[str, Any]:
        return {"version": 1, "mu": self._mu}

    def penalty(self, parameters: "Sequence[torch.Tensor]", start: "Sequence[torch.Tensor]") -> "torch.Tensor":
        squares = [(now - before).square().sum() for now, before in zip(parameters, start, strict=True)]
        return self._mu / 2 * sum(squares[1:], squares[0])


class FedProxSettings(FedAvgSettings, ProximalSettings):
    """Rounds, and the strength of the pull."""


class FedProx(FedAvg):
    """The strategy: FedAvg that names the objective in every instruction."""

    Settings = FedProxSettings

    def __init__(self, settings: FedProxSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._objective = ObjectiveConfig("proximal", {"mu": settings.mu})

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [replace(instruction, objective=self._objective) for instruction in super().plan(state)]
