"""DP-SGD at every client, averaged as FedAvg does: hardly anything can be told of any one sequence of an organization.

Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar & Zhang: Deep Learning with Differential Privacy, CCS 2016, arXiv
1607.00133, within the rounds of FedAvg. An organization's noise is its own, and what it sends is private already, so
that nobody has to trust the server; few organizations are enough, since the noise is averaged over sequences and not
over organizations. With a `target_epsilon` each finds the noise that its own number of sequences and of rounds takes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import pydantic
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.privacy_budget import PrivacySettings

from raysim.simulation.privacy import GaussianReleases, PrivacyClaim
from raysim.simulation.strategy import ClientInfo, Federation, State, TrainInstruction
from raysim.training.dp_sgd import DP_SGD, require_opacus
from raysim.training.objectives import ObjectiveConfig

_ASSUMPTIONS = (
    "a sequence's gradient is there or is not; what is seen are uploads and models of all rounds, not losses; this"
    " setting and seed alone; packing, tokenizer, numbers of sequences and choices made by results are not accounted"
    " for; seeded noise protects in a simulation alone"
)


class DPSGDAvgSettings(PrivacySettings, FedAvgSettings):
    """Rounds, and how clients clip and noise the gradients of their sequences."""

    clip: float = pydantic.Field(default=1.0, gt=0, description="largest norm of a sequence's gradient")
    batches: Literal["poisson", "shuffled"] = pydantic.Field(
        default="poisson",
        description="how a step draws its sequences: each by itself, which amplifies; or in passes, which does not",
    )

    def packages(self) -> Sequence[str]:
        return ("opacus",)


class DPSGDAvg(FedAvg):
    """FedAvg that names the objective ``dp_sgd`` in every instruction, with the noise of its client."""

    Settings = DPSGDAvgSettings

    def __init__(self, settings: DPSGDAvgSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        require_opacus()
        self._dp, self._batch_size = settings, federation.batch_size
        self._noise = {}
        for client in federation.clients:
            rounds = sum(client in self._clients(number) for number in range(settings.rounds))
            steps = max(1, rounds) * self._releases_a_round(client)
            self._noise[client.name] = settings.noise_for(steps, self._rate(client))

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [
            replace(instruction, objective=self._objective(instruction.organizations[0]))
            for instruction in super().plan(state)
        ]

    def _objective(self, name: str) -> ObjectiveConfig:
        poisson, noise = self._dp.batches == "poisson", self._noise[name]
        return ObjectiveConfig(DP_SGD, {"clip": self._dp.clip, "noise_multiplier": noise, "poisson": poisson})

    def _rate(self, client: ClientInfo) -> float:
        """The probability with which a sequence takes part in a step; 1 where nothing is drawn."""
        return min(1.0, self._batch_size / client.num_sequences) if self._dp.batches == "poisson" else 1.0

    def _releases_a_round(self, client: ClientInfo) -> int:
        """Steps of a client in a round that a sequence may take part in: with shuffled batches one in each pass."""
        steps = self._local_steps(client)
        return steps if self._dp.batches == "poisson" else math.ceil(steps / self._steps_a_pass(client))

    def privacy_claims(self) -> Iterable[PrivacyClaim]:
        """One for each organization: of its own sequences, towards everybody else."""
        rounds = dict.fromkeys(self.members, 0)
        for number in range(self._dp.rounds):
            present = self._clients(number)
            for client in self._all_clients:
                rounds[client.name] += client in present
                times, rate = rounds[client.name] * self._releases_a_round(client), self._rate(client)
                noise = self._noise[client.name]
                releases = (GaussianReleases(noise, times, rate),)
                yield PrivacyClaim(
                    number + 1, "sequence", client.name, releases, self._dp.delta, noise, rate, _ASSUMPTIONS
                )

    def noise_ratio(self) -> tuple[float, int]:
        """Of the client with the loudest noise for its steps."""
        steps = {client.name: self._dp.rounds * self._local_steps(client) for client in self._all_clients}
        loudest = max(steps, key=lambda name: self._noise[name] / math.sqrt(steps[name]))
        return self._noise[loudest] / self._batch_size, steps[loudest]

    def _local_steps(self, client: ClientInfo) -> int:
        return self._dp.local_steps or self._local_epochs * self._steps_a_pass(client)

    def _steps_a_pass(self, client: ClientInfo) -> int:
        return math.ceil(client.num_sequences / self._batch_size)
