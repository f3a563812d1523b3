"""FedTrimmedAvg: in every coordinate the server leaves out the largest and the smallest clients, and averages the rest.

Yin, Chen, Ramchandran & Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018,
arXiv 1803.01498, definition 2 and algorithm 1, option II.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
from raysim.strategies.averages import coordinate_wise
from raysim.strategies.federated import Combining, FederatedSettings

from raysim.simulation.strategy import ClientUpdate, Federation, State
from raysim.training.weights import Flat


class FedTrimmedAvgSettings(FederatedSettings):
    """Rounds, and how many clients are left out."""

    beta: float = pydantic.Field(
        default=0.2,
        ge=0,
        lt=0.5,
        description="share of a round's clients, rounded down to whole ones, that is left out at each end",
    )


class FedTrimmedAvg(Combining):
    """All clients count alike, whatever their number of sequences."""

    Settings = FedTrimmedAvgSettings
    name = "fedtrimmedavg"

    def __init__(self, settings: FedTrimmedAvgSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._beta = settings.beta

    def recipe(self) -> dict[str, Any]:
        return {**super().recipe(), "beta": self._beta}

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        cut = int(self._beta * len(results))

        def trimmed_mean(chunk: npt.NDArray[np.float32]) -> Flat:
            return np.sort(chunk, axis=0)[cut : len(chunk) - cut].mean(axis=0)

        return coordinate_wise([result.weights for result in results], trimmed_mean)
