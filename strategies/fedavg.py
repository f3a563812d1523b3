"""FedAvg: clients train at once from the server's model, the server averages their weights by number of examples.

McMahan, Moore, Ramage, Hampson & Agueera y Arcas: Communication-Efficient Learning of Deep Networks from
Decentralized Data, AISTATS 2017, arXiv 1602.05629, algorithm 1.
"""

from collections.abc import Sequence
from typing import Any, Literal

import pydantic
from raysim.strategies.averages import weighted_average
from raysim.strategies.federated import Combining, FederatedSettings

from raysim.simulation.strategy import ClientUpdate, Federation, State, StrategySettings
from raysim.training.weights import Flat

Weighting = Literal["examples", "uniform"]


class FedAvgSettings(FederatedSettings):
    """Rounds of federated training, and what a client counts in them."""

    ADDED = FederatedSettings.ADDED | {"weighting"}

    weighting: Weighting = pydantic.Field(
        default="examples", description="what a client counts in the average: its packed sequences, or as any other"
    )


class FedAvg(Combining):
    """Federated averaging. Subclasses override `_server_step`."""

    Settings: type[StrategySettings] = FedAvgSettings
    name = "fedavg"

    def __init__(self, settings: FedAvgSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._weighting: Weighting = settings.weighting

    def recipe(self) -> dict[str, Any]:
        weighting = {} if self._weighting == "examples" else {"weighting": self._weighting}
        return {**super().recipe(), **weighting}

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        return average_of(results, self._weighting)


def average_of(results: Sequence[ClientUpdate], weighting: Weighting) -> Flat:
    """The clients' weights, averaged by their packed sequences or as equals."""
    counts = [1 if weighting == "uniform" else result.num_sequences for result in results]
    return weighted_average([result.weights for result in results], counts)
