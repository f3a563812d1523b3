"""FedAvg: clients train at once from the server's model, the server averages their weights by number of examples.

McMahan, Moore, Ramage, Hampson & Agueera y Arcas: Communication-Efficient Learning of Deep Networks from
Decentralized Data, AISTATS 2017, arXiv 1602.05629, algorithm 1. What is averaged of low-rank adapters is a setting; see
`raysim.strategies.adapters`.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import pydantic
from raysim.strategies.adapters import AdapterAverage, average_products
from raysim.strategies.averages import weighted_average
from raysim.strategies.federated import Combining, FederatedSettings

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientUpdate, Federation, State, StrategySettings
from raysim.training.weights import Flat

Weighting = Literal["examples", "uniform"]


class WeightedSettings(FederatedSettings):
    """Rounds of federated training, and what a client counts in them."""

    ADDED = FederatedSettings.ADDED | {"weighting"}

    weighting: Weighting = pydantic.Field(
        default="examples", description="what a client counts in the average: its packed sequences, or as any other"
    )


class FedAvgSettings(WeightedSettings):
    """Rounds of federated training, what a client counts in them, and how adapters are averaged."""

    ADDED = WeightedSettings.ADDED | {"adapters"}

    adapters: AdapterAverage = pydantic.Field(
        default="factors",
        description="how low-rank adapters are averaged. factors: B and A apart, which is not the average of B A;"
        " exact: what that loses is added to the matrices beside them (FedEx-LoRA; needs model.lora.carry_base);"
        " refactored: the average of B A, cut to the rank (FlexLoRA)",
    )


class FedAvg(Combining):
    """Federated averaging. Subclasses override `_server_step`."""

    Settings: type[StrategySettings] = FedAvgSettings
    name = "fedavg"

    def __init__(self, settings: WeightedSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._weighting: Weighting = settings.weighting
        self._adapters = federation.adapters
        self.takes_average = (
            type(self)._server_step is Combining._server_step and type(self)._combine is FedAvg._combine
        )

    @classmethod
    def variants(cls, settings: FederatedSettings, federation: Federation) -> Sequence[Self]:
        """See `FederatedStrategy.variants`.

        Raises:
            InputError: as there, or adapters are to be averaged in a way that a server's step would undo.
        """
        found = super().variants(settings, federation)
        if settings.way_of_adapters != "factors" and not found[0].takes_average:
            raise InputError(
                f"adapters: is {settings.way_of_adapters}, but the server does more than average; leave it out"
            )
        return found

    def recipe(self) -> dict[str, Any]:
        weighting = {} if self._weighting == "examples" else {"weighting": self._weighting}
        way = self._settings.way_of_adapters
        return {**super().recipe(), **weighting, **({} if way == "factors" else {"adapters": way})}

    def client_shares(self, results: Sequence[ClientUpdate]) -> Sequence[float]:
        """See `raysim.simulation.strategy.Averaging`."""
        counts = _counts(results, self._weighting)
        return [count / sum(counts) for count in counts]

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        average, way = average_of(results, self._weighting), self._settings.way_of_adapters
        if way != "factors" and self._adapters and average.size:
            weights, before = [result.weights for result in results], state.tensors["weights"]
            average_products(way, self._adapters.layers, weights, self.client_shares(results), before, average)
        return average


def average_of(results: Sequence[ClientUpdate], weighting: Weighting) -> Flat:
    """The clients' weights, averaged by their packed sequences or as equals."""
    return weighted_average([result.weights for result in results], _counts(results, weighting))


def _counts(results: Sequence[ClientUpdate], weighting: Weighting) -> list[int]:
    return [1 if weighting == "uniform" else result.num_sequences for result in results]
