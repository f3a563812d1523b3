"""Who takes part in which round of a federation, where a strategy knows that beforehand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from raysim.simulation.strategy import State

Reason = Literal["", "not selected", "dropped out", "late"]
"""What went wrong with an organization in a round; empty: nothing."""


@dataclass(frozen=True)
class ClientParticipation:
    """An organization in a round for which it was selected.

    Attributes:
        organization: its name.
        took_part: whether the server aggregates what it sends.
        reason: what went wrong, whether or not it takes part in the end.
        attempts: how often it began: more than once where dropouts are waited for.
        seconds: simulated, of all its attempts; None: time is not simulated.
    """

    organization: str
    took_part: bool
    reason: Reason = ""
    attempts: int = 1
    seconds: float | None = None


@dataclass(frozen=True)
class RoundParticipation:
    """A round of a federation.

    Attributes:
        clients: that were selected, in the federation's order; as in the last attempt at the round.
        attempts: how often the round was begun.
        seconds: simulated, of all attempts; None: time is not simulated.
        ends: why the run ends in this round; empty: it goes on.
    """

    clients: tuple[ClientParticipation, ...]
    attempts: int = 1
    seconds: float | None = None
    ends: str = ""

    @property
    def names(self) -> frozenset[str]:
        """Organizations that take part; nobody in a round in which the run ends."""
        return frozenset() if self.ends else frozenset(one.organization for one in self.clients if one.took_part)


@runtime_checkable
class TakesAttendance(Protocol):
    """A strategy that knows beforehand who takes part in its rounds."""

    def participation(self) -> Iterable[RoundParticipation]:
        """The rounds in their order, up to one in which the run ends."""
        ...

    def ends(self, state: State) -> str:
        """Why the run ends in the round after `state`; empty: it goes on."""
        ...


@dataclass(frozen=True)
class ParticipationCounts:
    """What came of the rounds of a setting, over all seeds and variants.

    Attributes:
        asked: organizations that were selected, summed over rounds.
        took_part: of these, who was aggregated.
        dropped_out: of these, who dropped out, though the server may have waited for it.
        late: the same of those who were late.
        begun_again: attempts at rounds that had too few.
        seconds: simulated, of a run from its first round to its last, the mean over runs.
    """

    asked: int
    took_part: int
    dropped_out: int
    late: int
    begun_again: int
    seconds: float


def participation_counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, ParticipationCounts]:
    """For each setting with simulated time, by its label, what came of its rounds (rows of ``participation``)."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["round_seconds"] is not None:
            found.setdefault(row["strategy"], []).append(row)
    return {label: _counts(mine) for label, mine in found.items()}


def absentees(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each organization that is asked in rounds of a run and takes part in none of them."""
    asked: dict[tuple[int, str, str], dict[str, int]] = {}
    for row in rows:
        if row["selected"]:
            times = asked.setdefault((row["seed"], row["strategy"], row["order"]), {})
            times[row["organization"]] = times.get(row["organization"], 0) + row["took_part"]
    return [
        f"{strategy} ({order}), seed {seed}: {name} takes part in no round; see its availability"
        for (seed, strategy, order), times in asked.items()
        if any(times.values())
        for name, count in times.items()
        if not count
    ]


def _counts(rows: list[Mapping[str, Any]]) -> ParticipationCounts:
    rounds = {(row["seed"], row["order"], row["round"]): row for row in rows}
    return ParticipationCounts(
        asked=sum(row["selected"] for row in rows),
        took_part=sum(row["took_part"] for row in rows),
        dropped_out=sum(row["reason"] == "dropped out" for row in rows),
        late=sum(row["reason"] == "late" for row in rows),
        begun_again=sum(row["round_attempts"] - 1 for row in rounds.values()),
        seconds=sum(row["round_seconds"] for row in rounds.values()) / len({key[:2] for key in rounds}),
    )
