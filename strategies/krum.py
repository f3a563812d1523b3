"""Krum: the server takes the client whose weights are nearest to most others'; Multi-Krum averages several such.

Blanchard, El Mhamdi, Guerraoui & Stainer: Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent,
NeurIPS 2017, section 4: of n clients of which f may send anything, the score of one is the sum of its squared
distances to the n - f - 2 that are nearest to it, and the smallest score is the best. It holds for n > 2 f + 2.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pydantic
from raysim.strategies.fedavg import Weighting, average_of
from raysim.strategies.federated import Combining, FederatedSettings

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientUpdate, Federation, State
from raysim.training.weights import Flat, squared_distance


class KrumSettings(FederatedSettings):
    """Rounds, and how many clients are suspected."""

    byzantine: int = pydantic.Field(default=0, ge=0, description="clients of a round that may send anything: f")


class Krum(Combining):
    """Each round's model is that of one client.

    Raises:
        InputError: more suspects than the clients of a round can outvote.
    """

    Settings = KrumSettings
    name = "krum"

    def __init__(self, settings: KrumSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._byzantine = settings.byzantine
        self._num_clients = settings.clients or len(federation.clients)
        self._least_clients = settings.least_clients(self._num_clients)
        most = max(0, (self._least_clients - 3) // 2)
        if self._byzantine > most:
            at_least = " at least" if self._least_clients < self._num_clients else ""
            raise InputError(
                f"byzantine: {self._byzantine} of {self._least_clients} clients a round{at_least}, of whom Krum needs"
                f" more than 2 * byzantine + 2; write at most {most}"
            )

    def recipe(self) -> dict[str, Any]:
        return {**super().recipe(), "byzantine": self._byzantine}

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        return results[self._best(results)[0]].weights

    def _best(self, results: Sequence[ClientUpdate]) -> list[int]:
        """Positions of the updates by their scores, the best first; of equal ones the first."""
        n = len(results)
        nearest = max(1, n - self._byzantine - 2)
        distances = np.zeros((n, n))
        for i, j in itertools.combinations(range(n), 2):
            distances[i, j] = distances[j, i] = squared_distance(results[i].weights, results[j].weights)
        others = np.sort(distances, axis=1)[:, 1:]  # the nearest of all is oneself
        return np.argsort(others[:, :nearest].sum(axis=1), kind="stable").tolist()


class MultiKrumSettings(KrumSettings):
    """Rounds, how many clients are suspected, and how many are averaged."""

    selected: int | None = pydantic.Field(
        default=None, ge=1, description="clients with the best scores that are averaged: m; unset: all but `byzantine`"
    )
    weighting: Weighting = pydantic.Field(
        default="uniform", description="what each of them counts: as any other, as published, or its packed sequences"
    )


class MultiKrum(Krum):
    """Each round's model is the average of the clients with the best scores.

    Raises:
        InputError: as `Krum`, or more clients to average than a round has.
    """

    Settings = MultiKrumSettings
    name = "multikrum"

    def __init__(self, settings: MultiKrumSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._selected = settings.selected
        if self._least_clients == self._num_clients:
            self._selected = settings.selected or self._num_clients - self._byzantine
        self._weighting: Weighting = settings.weighting
        if self._selected and self._selected > self._least_clients:
            at_least = " at least" if self._least_clients < self._num_clients else ""
            raise InputError(f"selected: {self._selected}, but a round has {self._least_clients} clients{at_least}")

    def recipe(self) -> dict[str, Any]:
        return {**super().recipe(), "selected": self._selected, "weighting": self._weighting}

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        best = sorted(self._best(results)[: self._selected or len(results) - self._byzantine])
        return average_of([results[i] for i in best], self._weighting)
