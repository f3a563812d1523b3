"""Personalized: rounds of federated averaging, then each organization trains the last model on its own code alone.

Yu, Bagdasaryan & Shmatikov: Salvaging Federated Learning by Local Adaptation, 2020, arXiv 2002.04758, fine-tuning. The
rounds are FedAvg's own work, found by its keys; what each organization ends with stays its own, so these models have a
family of their own and count nowhere as the federation's.
"""

import copy
from collections.abc import Sequence
from typing import ClassVar, Self

import pydantic
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.federated import FederatedSettings

from raysim.simulation.strategy import Family, Federation, ModelCheckpoint, State, TrainInstruction


class PersonalizedSettings(FedAvgSettings):
    """Rounds, and what comes after them at each organization."""

    tune_epochs: int = pydantic.Field(default=1, ge=1, description="epochs of an organization after the last round")

    @pydantic.model_validator(mode="after")
    def _all_rounds(self) -> Self:
        if self.early_stop:
            raise ValueError(
                "early_stop: each organization goes on from the last round, whichever that is; leave it out, and take"
                " the number of rounds from a fedavg with early_stop"
            )
        return self


class Personalized(FedAvg):
    """FedAvg, and a last stage of one organization, with a fresh optimizer."""

    Settings = PersonalizedSettings
    family: ClassVar[Family] = "personalized"

    def __init__(self, settings: PersonalizedSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        self._rounds, self._tune_epochs = settings.rounds, settings.tune_epochs
        self._own = ""

    @classmethod
    def variants(cls, settings: FederatedSettings, federation: Federation) -> Sequence[Self]:
        """One variant for each organization, of each variant of FedAvg.

        Raises:
            InputError: as for `FedAvg`.
        """
        return [whole._of(name) for whole in super().variants(settings, federation) for name in whole.members]

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        if state.round == self._rounds:
            return [TrainInstruction((self._own,), state.model, self._tune_epochs, self._tune_epochs)]
        return super().plan(state) if state.round < self._rounds else []

    def checkpoints(self, state: State) -> Sequence[ModelCheckpoint]:
        if state.round == self._rounds + 1:
            return [ModelCheckpoint(state.model, "stage", 1, final=True, last=self._own)]
        return super().checkpoints(state) if state.round == 0 else []

    def _of(self, organization: str) -> Self:
        """The same that ends at `organization`."""
        variant = copy.copy(self)
        variant._own, variant.order = organization, f"{self.order} > {organization}"
        return variant
