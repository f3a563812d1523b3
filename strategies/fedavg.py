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
from raysim.strategies.secure_sum import average_of_masked

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State, StrategySettings
from raysim.training.masking import MaskAgreement, Masked, SecureAggregationSettings
from raysim.training.upload_form import UploadForm
from raysim.training.weights import Flat

Weighting = Literal["examples", "uniform"]


class WeightedSettings(FederatedSettings):
    """Rounds of federated training, and what a client counts in them."""

    ADDED = FederatedSettings.ADDED | {"weighting", "secure_aggregation"}

    weighting: Weighting = pydantic.Field(
        default="examples", description="what a client counts in the average: its packed sequences, or as any other"
    )
    secure_aggregation: SecureAggregationSettings | None = pydantic.Field(
        default=None,
        description="hides each client's update from the server, which learns their sum; unset: it sees all",
    )

    @pydantic.model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.secure_aggregation and self.compression:
            raise ValueError(
                "secure_aggregation: masked updates are sent whole, in its own bits; leave it or compression out"
            )
        return self


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
        self._secure = settings.secure_aggregation
        if self._secure:
            self._secure.threshold_of(settings.clients or len(federation.clients))

    @classmethod
    def variants(cls, settings: FederatedSettings, federation: Federation) -> Sequence[Self]:
        """See `FederatedStrategy.variants`.

        Raises:
            InputError: as there, or adapters are to be averaged in a way that a server's step would undo, or that
                needs to see each client's.
        """
        found = super().variants(settings, federation)
        if settings.way_of_adapters != "factors" and not found[0].takes_average:
            raise InputError(
                f"adapters: is {settings.way_of_adapters}, but the server does more than average; leave it out"
            )
        if settings.way_of_adapters != "factors" and found[0]._secure:
            raise InputError(
                f"adapters: is {settings.way_of_adapters}, for which the server must see each client's; leave it or"
                " secure_aggregation out"
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
        # Of all or none: the last stage of a personalized model stays with its organization and is not masked.
        if any(isinstance(result.instruction.upload, Masked) for result in results):
            return average_of_masked(state.tensors["weights"], results)
        average, way = average_of(results, self._weighting), self._settings.way_of_adapters
        if way != "factors" and self._adapters and average.size:
            weights, before = [result.weights for result in results], state.tensors["weights"]
            average_products(way, self._adapters.layers, weights, self.client_shares(results), before, average)
        return average

    def _upload(self, state: State, client: ClientInfo) -> UploadForm | None:
        if self._secure is None:
            return super()._upload(state, client)
        counts = tuple(
            (c.name, 1 if self._weighting == "uniform" else c.num_sequences) for c in self._clients(state.round)
        )
        threshold = self._secure.threshold_of(len(counts))
        agreement = MaskAgreement(self._seed, state.round, counts, threshold, self._secure.bits, self._secure.clip)
        return Masked(agreement, client.name)


def average_of(results: Sequence[ClientUpdate], weighting: Weighting) -> Flat:
    """The clients' weights, averaged by their packed sequences or as equals."""
    return weighted_average([result.weights for result in results], _counts(results, weighting))


def _counts(results: Sequence[ClientUpdate], weighting: Weighting) -> list[int]:
    return [1 if weighting == "uniform" else result.num_sequences for result in results]
