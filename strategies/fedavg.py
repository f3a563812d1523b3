"""FedAvg: clients train at once from the server's model, the server averages their weights by number of examples.

McMahan, Moore, Ramage, Hampson & Agueera y Arcas: Communication-Efficient Learning of Deep Networks from
Decentralized Data, AISTATS 2017, arXiv 1602.05629, algorithm 1.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import pydantic
from raysim.strategies.averages import weighted_average
from raysim.strategies.federated import Combining, FederatedSettings
from raysim.strategies.secure_sum import average_of_masked

from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State, StrategySettings
from raysim.training.masking import MaskAgreement, Masked, SecureAggregationSettings
from raysim.training.upload_form import UploadForm
from raysim.training.weights import Flat

Weighting = Literal["examples", "uniform"]


class FedAvgSettings(FederatedSettings):
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


class FedAvg(Combining):
    """Federated averaging. Subclasses override `_server_step`."""

    Settings: type[StrategySettings] = FedAvgSettings
    name = "fedavg"

    def __init__(self, settings: FedAvgSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._weighting: Weighting = settings.weighting
        self._secure = settings.secure_aggregation
        if self._secure:
            self._secure.threshold_of(settings.clients or len(federation.clients))

    def recipe(self) -> dict[str, Any]:
        weighting = {} if self._weighting == "examples" else {"weighting": self._weighting}
        return {**super().recipe(), **weighting}

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        # Of all or none: the last stage of a personalized model stays with its organization and is not masked.
        if any(isinstance(result.instruction.upload, Masked) for result in results):
            return average_of_masked(state.tensors["weights"], results)
        return average_of(results, self._weighting)

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
    counts = [1 if weighting == "uniform" else result.num_sequences for result in results]
    return weighted_average([result.weights for result in results], counts)
