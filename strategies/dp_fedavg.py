"""DP-FedAvg: federated averaging by which hardly anything can be told of any one organization.

McMahan, Ramage, Talwar & Zhang: Learning Differentially Private Recurrent Language Models, ICLR 2018, arXiv 1710.06963,
algorithm 1: each client takes part in a round with probability q, drawn by itself; its change is clipped to the norm C,
and the server steps by ``(sum of changes + N(0, (z C)^2)) / (q n)``, whoever came. All clients count alike.

With a `quantile` the clip follows it, as in Andrew, Thakkar, McMahan & Ramaswamy: Differentially Private Learning with
Adaptive Clipping, NeurIPS 2021, arXiv 1905.03871, algorithm 1: how many changes were within the clip is counted with
noise of its own, and the noise of the sum is as much larger as keeps both together at the noise multiplier z.

Noise is drawn from the key of the round's model: whoever knows the recipe could draw it again and take it away, so it
protects nobody outside a simulation.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pydantic
from raysim.strategies.averages import chunks
from raysim.strategies.federated import FederatedStrategy
from raysim.strategies.privacy_budget import PrivacySettings

from raysim.core.errors import InputError
from raysim.core.keys import Key, seed_of, versions_of
from raysim.simulation.privacy import GaussianReleases, PrivacyClaim
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State, StrategySettings
from raysim.training.weights import Flat, squared_distance

CLIP = "clip"
"""The clip of the next round, float32 ``[1]``, among the tensors of the state where it adapts."""

_ASSUMPTIONS = (
    "an organization joins or leaves; what is seen are the models of the rounds, not uploads, losses or norms; this"
    " setting and seed alone; tokenizer and choices made by results are not accounted for; seeded noise protects in a"
    " simulation alone"
)


class DPFedAvgSettings(PrivacySettings):
    """Who takes part, and how changes are clipped and noised."""

    clients: int | None = pydantic.Field(
        default=None,
        ge=1,
        description="organizations a round to expect: each is drawn by itself, with the probability clients /"
        " organizations; unset: all take part, and nothing is amplified",
    )
    clip: float = pydantic.Field(
        default=1.0, gt=0, description="largest norm of a client's change; at first, if adaptive"
    )
    quantile: float | None = pydantic.Field(
        default=None, gt=0, lt=1, description="of the norms of changes, which the clip follows; unset: it is fixed"
    )
    clip_rate: float = pydantic.Field(default=0.2, gt=0, description="how fast the clip follows, in its logarithm")
    count_noise: float | None = pydantic.Field(
        default=None,
        gt=0,
        description="standard deviation of the noise of the count within the clip; unset: a twentieth of the clients to"
        " expect, or noise_multiplier if that is more",
    )
    eta: float = pydantic.Field(default=1.0, gt=0, description="server learning rate: of the noisy average change")


class DPFedAvg(FederatedStrategy):
    """A round may have any number of clients, also none; then the server steps by noise alone."""

    Settings: type[StrategySettings] = DPFedAvgSettings
    name = "dp_fedavg"
    idle_rounds = True

    def __init__(self, settings: DPFedAvgSettings, federation: Federation) -> None:
        super().__init__(settings, federation)
        if settings.availability:
            raise InputError("availability: who drops out of a round is not accounted for; leave it out")
        self._dp = settings
        self._expected = settings.clients or len(federation.clients)
        self._rate = self._expected / len(federation.clients)
        self._noise = settings.noise_for(settings.rounds, self._rate)
        self._count_noise = settings.count_noise or max(self._expected / 20, self._noise)
        self._sum_noise = self._noise
        if settings.quantile is not None and self._noise:
            left = self._noise**-2 - (2 * self._count_noise) ** -2
            if left <= 0:
                raise InputError(
                    f"count_noise: {self._count_noise:g} uses up all of the privacy of noise_multiplier"
                    f" {self._noise:g}; make it more than half of that"
                )
            self._sum_noise = left**-0.5

    def recipe(self) -> dict[str, Any]:
        dp = self._dp
        adaptive = {"quantile": dp.quantile, "clip_rate": dp.clip_rate, "count_noise": self._count_noise}
        return {
            **super().recipe(),
            "noise_multiplier": self._noise,
            "libraries": versions_of("numpy"),
            "expected": self._expected,
            "clip": dp.clip,
            "eta": dp.eta,
            **({} if dp.quantile is None else adaptive),
        }

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        weights, clip = state.tensors["weights"], self._clip(state)
        norms = [math.sqrt(squared_distance(result.weights, weights)) for result in results]
        generator = np.random.Generator(np.random.Philox(seed_of(key, "privacy noise")))
        factors = [min(1.0, clip / norm) if norm else 1.0 for norm in norms]
        tensors = {"weights": self._step(weights, results, factors, self._sum_noise * clip, generator)}
        if self._dp.quantile is not None:
            tensors[CLIP] = np.array([self._next_clip(clip, norms, generator)], np.float32)
        return State(key, state.round + 1, self._states_kept(state, results), tensors)

    def _step(
        self,
        weights: Flat,
        results: Sequence[ClientUpdate],
        factors: Sequence[float],
        deviation: float,
        generator: np.random.Generator,
    ) -> Flat:
        """The server's weights after it has stepped by the noisy sum of clipped changes over the clients to expect."""
        after, rate = np.empty_like(weights), np.float32(self._dp.eta / self._expected)
        for part in chunks(weights.size):
            before = weights[part]
            total = generator.standard_normal(before.size, np.float32) * np.float32(deviation)
            for result, factor in zip(results, factors, strict=True):
                total += np.multiply(result.weights[part] - before, factor, dtype=np.float32)
            after[part] = before + total * rate
        return after

    def _clip(self, state: State) -> float:
        return float(state.tensors[CLIP][0]) if CLIP in state.tensors else self._dp.clip

    def _next_clip(self, clip: float, norms: Sequence[float], generator: np.random.Generator) -> float:
        """The clip after a step towards the quantile; a client adds half a unit to the count, in one direction or the
        other."""
        assert self._dp.quantile is not None
        noise = self._count_noise * generator.standard_normal() if self._noise else 0.0
        within = sum(0.5 if norm <= clip else -0.5 for norm in norms) + noise
        return clip * math.exp(-self._dp.clip_rate * (within / self._expected + 0.5 - self._dp.quantile))

    def _clients(self, finished_rounds: int) -> Sequence[ClientInfo]:
        """Those who are drawn for the next round: each by itself, by seed, round and name alone."""
        if self._dp.clients is None:
            return self._all_clients
        return [
            client
            for client in self._all_clients
            if seed_of(self._seed, "poisson clients", finished_rounds, client.name) < self._rate * 2**63
        ]

    def privacy_claims(self) -> Iterable[PrivacyClaim]:
        for number in range(1, self._dp.rounds + 1):
            releases = (GaussianReleases(self._noise, number, self._rate),)
            yield PrivacyClaim(
                number, "organization", "", releases, self._dp.delta, self._noise, self._rate, _ASSUMPTIONS
            )

    def noise_ratio(self) -> tuple[float, int]:
        return self._sum_noise / self._expected, self._dp.rounds
