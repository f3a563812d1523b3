"""Organizations that are slow, late or gone: drawn for each round by a seed, in simulated time.

Nothing here waits: a model says how long an organization would take for its tokens, and whether it drops out. A draw
depends on the federation's seed, its purpose, the round, the organization and the attempt alone, so that all settings
of one seed see the same dropouts, and a higher rate of dropout those of a lower one and more.

The policies: a server goes on with those that report in time and begins a round again if they are too few (Bonawitz
et al.: Towards Federated Learning at Scale: System Design, MLSys 2019, arXiv 1902.01046, section 2.2), waits for all,
or ends the run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from raysim.core.errors import InputError
from raysim.core.keys import seed_of
from raysim.core.settings import Settings
from raysim.simulation.participation import ClientParticipation, Reason, RoundParticipation

_Rate = Annotated[float, Field(ge=0, le=0.99)]
_Speed = Annotated[float, Field(gt=0)]
_BY_NAME = pydantic.Discriminator(lambda value: "mapping" if isinstance(value, Mapping) else "number")
"""So that what is wrong with one form is not told of the other, too."""

Rate = Annotated[
    Annotated[_Rate, pydantic.Tag("number")] | Annotated[dict[str, _Rate], pydantic.Tag("mapping")], _BY_NAME
]
Speed = Annotated[
    Annotated[_Speed, pydantic.Tag("number")] | Annotated[dict[str, _Speed], pydantic.Tag("mapping")], _BY_NAME
]


class PolicySettings(Settings):
    """What the server does about organizations that are late or gone: a kind, or `{proceed_with: K}`."""

    short_forms = ({"type": "string", "enum": ["proceed", "wait", "stop"]},)

    kind: Literal["proceed", "wait", "stop"] = Field(
        default="proceed",
        description="goes on without them, waits for them (who has dropped out begins again), or ends the run",
    )
    proceed_with: int = Field(
        default=1, ge=1, description="organizations that must come through for a round to go on without the others"
    )
    attempts: int = Field(
        default=10, ge=1, description="times that a round of fewer is begun, with new draws, before the run ends"
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _only_of_proceed(self) -> Self:
        if self.kind != "proceed" and (self.proceed_with, self.attempts) != (1, 10):
            raise ValueError(f"proceed_with, attempts: say when to go on without organizations; {self.kind} never does")
        return self


class AvailabilitySettings(Settings):
    """A model of organizations that are slow, late or gone in a round, in simulated time; nothing really waits."""

    dropout: Rate = Field(
        default=0.0,
        description="probability that an organization drops out of a round; by name: of those that are named",
    )
    seconds_per_1k_tokens: Speed = Field(
        default=1.0, description="simulated seconds that training on 1,000 tokens takes; by name: of each organization"
    )
    organization_spread: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="sigma of the lognormal factor of an organization's seconds, drawn once; its median is 1",
    )
    round_spread: float = Field(
        default=0.0, ge=0, le=10, description="the same of a factor that is drawn anew for each organization and round"
    )
    transfer_s: float = Field(
        default=0.0, ge=0, description="simulated seconds a round for the model's way to an organization and back"
    )
    deadline_s: float | None = Field(
        default=None, gt=0, description="simulated seconds from which on an organization is late; unset: never"
    )
    policy: PolicySettings = Field(
        default=PolicySettings(),
        description="what the server does about those that are late or gone: `wait` for them, `stop` the run, or"
        " `{proceed_with: K}`",
    )

    def check_names(self, names: Sequence[str]) -> None:
        """Refuses names of organizations that are not there, and speeds of some alone.

        Raises:
            InputError: whom it names, or does not name.
        """
        for setting in ("dropout", "seconds_per_1k_tokens"):
            given = getattr(self, setting)
            if not isinstance(given, Mapping):
                continue
            if strangers := sorted(set(given) - set(names)):
                raise InputError(f"availability.{setting}: no organization is called {', '.join(strangers)}")
            missing = [name for name in names if name not in given]
            if missing and setting != "dropout":
                raise InputError(f"availability.{setting}: says nothing of {', '.join(missing)}")

    def least(self, selected: int) -> int:
        """How many of a round's `selected` organizations take part at least.

        Raises:
            InputError: it goes on only with more than there are.
        """
        if self.policy.kind != "proceed":
            return selected
        if self.policy.proceed_with > selected:
            raise InputError(
                f"availability.policy.proceed_with: {self.policy.proceed_with}, but a round has {selected}"
                f" organization{'s' * (selected != 1)}"
            )
        return self.policy.proceed_with


@dataclass(frozen=True)
class Availability:
    """Draws who takes part in a round, and how long it takes.

    Attributes:
        settings: of the model.
        seed: of the federation.
        tokens: that an organization trains on in a round, by name.
    """

    settings: AvailabilitySettings
    seed: int
    tokens: Mapping[str, int]

    def round(self, number: int, names: Sequence[str]) -> RoundParticipation:
        """Round `number` (from 0), for which `names` were selected."""
        policy = self.settings.policy
        if policy.kind == "wait":
            waited = tuple(self._waited_for(number, name) for name in names)
            return RoundParticipation(waited, 1, max(client.seconds or 0.0 for client in waited))
        attempts, least = (1, len(names)) if policy.kind == "stop" else (policy.attempts, policy.proceed_with)
        seconds, clients = 0.0, list[ClientParticipation]()
        for attempt in range(attempts):
            clients = [self._client(number, name, attempt) for name in names]
            seconds += self._until_all_is_known(clients)
            if sum(client.took_part for client in clients) >= least:
                return RoundParticipation(tuple(clients), attempt + 1, seconds)
        return RoundParticipation(tuple(clients), attempts, seconds, self._why(number, clients))

    def _client(self, number: int, name: str, attempt: int) -> ClientParticipation:
        """One attempt of an organization; one that drops out is missed when it would have been done."""
        seconds = self._seconds(number, name, attempt)
        reason: Reason = ""
        if _uniform(self.seed, "dropout", number, name, attempt) < self._dropout(name):
            reason = "dropped out"
        elif self.settings.deadline_s is not None and seconds > self.settings.deadline_s:
            reason = "late"
        return ClientParticipation(name, not reason, reason, 1, seconds)

    def _waited_for(self, number: int, name: str) -> ClientParticipation:
        """An organization that begins again until it does not drop out."""
        attempts, seconds = 0, 0.0
        while True:
            client = self._client(number, name, attempts)
            attempts, seconds = attempts + 1, seconds + (client.seconds or 0.0)
            if client.reason != "dropped out":
                reason: Reason = "dropped out" if attempts > 1 else client.reason
                return ClientParticipation(name, True, reason, attempts, seconds)

    def _until_all_is_known(self, clients: Sequence[ClientParticipation]) -> float:
        """Seconds until the last has reported or is missed, which is at the deadline where there is one."""
        longest = max(client.seconds or 0.0 for client in clients)
        return longest if self.settings.deadline_s is None else min(longest, self.settings.deadline_s)

    def _seconds(self, number: int, name: str, attempt: int) -> float:
        s = self.settings
        speed = s.seconds_per_1k_tokens
        usual = speed[name] if isinstance(speed, Mapping) else speed
        own = _lognormal(s.organization_spread, self.seed, "speed", name)
        today = _lognormal(s.round_spread, self.seed, "speed in a round", number, name, attempt)
        return s.transfer_s + self.tokens[name] / 1000 * usual * own * today

    def _dropout(self, name: str) -> float:
        rate = self.settings.dropout
        return rate.get(name, 0.0) if isinstance(rate, Mapping) else rate

    def _why(self, number: int, clients: Sequence[ClientParticipation]) -> str:
        """Why the run ends in a round."""
        policy = self.settings.policy
        said = {"dropped out": "drops out", "late": "is late"}
        missed = ", ".join(
            f"{one.organization} {said[one.reason]}"
            + (f" ({one.seconds:.3g} s, of {self.settings.deadline_s:g})" if one.reason == "late" else "")
            for one in clients
            if one.reason
        )
        if policy.kind == "stop":
            return f"round {number + 1}: {missed}, and availability.policy is stop"
        there = sum(one.took_part for one in clients)
        return (
            f"round {number + 1}: {there} of {len(clients)} organizations come through the last of {policy.attempts}"
            f" attempts ({missed}), and availability.policy.proceed_with is {policy.proceed_with}"
        )


def _uniform(*purpose: str | int) -> float:
    """A draw between 0 and 1, neither of them."""
    return ((seed_of(*purpose) >> 11) + 0.5) / 2**52


def _lognormal(sigma: float, *purpose: str | int) -> float:
    return math.exp(sigma * NormalDist().inv_cdf(_uniform(*purpose))) if sigma else 1.0
