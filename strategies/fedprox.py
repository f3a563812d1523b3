"""FedProx: FedAvg whose clients are pulled back to the server's weights.

Li, Sahu, Zaheer, Sanjabi, Talwalkar & Smith: Federated Optimization in Heterogeneous Networks, MLSys 2020, arXiv
1812.06127: each client minimizes its loss plus ``mu / 2 * |w - w_server|^2``. The server's step is FedAvg's, so with
``mu: 0`` all of the work is FedAvg's very own, found by its keys.
"""

from collections.abc import Sequence
from dataclasses import replace

from raysim.strategies.fedavg import FedAvg, FedAvgSettings

from raysim.simulation.strategy import Federation, State, TrainInstruction
from raysim.training.objectives import ObjectiveConfig
from raysim.training.proximal import ProximalSettings


class FedProxSettings(FedAvgSettings, ProximalSettings):
    """Rounds, and the strength of the pull."""


class FedProx(FedAvg):
    """FedAvg that names the proximal objective in every instruction."""

    Settings = FedProxSettings

    def __init__(self, settings: FedProxSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._objective = ObjectiveConfig("proximal", {"mu": settings.mu}) if settings.mu else None

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [replace(instruction, objective=self._objective) for instruction in super().plan(state)]
