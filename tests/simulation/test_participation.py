"""What came of rounds, counted from rows of the table."""

from typing import Any

from raysim.simulation.participation import (
    ClientParticipation,
    ParticipationCounts,
    RoundParticipation,
    absentees,
    participation_counts,
)


def test_nobody_takes_part_in_a_round_in_which_the_run_ends() -> None:
    clients = ClientParticipation("a", True), ClientParticipation("b", False, "late")
    assert RoundParticipation(clients).names == {"a"}
    assert RoundParticipation(clients, ends="b is late").names == set()


def test_who_takes_part_in_no_round_is_named() -> None:
    def row(seed: int, name: str, took_part: bool, selected: bool = True) -> dict[str, Any]:
        run = {"seed": seed, "strategy": "fedavg", "order": "a + b"}
        return {**run, "organization": name, "selected": selected, "took_part": took_part}

    rows = [row(1, "a", True), row(1, "b", False), row(1, "a", True), row(1, "b", False), row(1, "c", False, False)]
    rows += [row(2, "a", True), row(2, "b", False), row(2, "a", False), row(2, "b", True)]
    nobody = [row(3, "a", False), row(3, "b", False)]  # the run ends in its first round, which is told
    told = "fedavg (a + b), seed 1: b takes part in no round; see its availability"
    assert absentees([*rows, *nobody]) == [told]


def test_counts_by_hand() -> None:
    def row(seed: int, number: int, name: str, reason: str, took_part: bool, attempts: int) -> dict[str, Any]:
        shared = {"seed": seed, "strategy": "fedavg", "order": "a + b", "round": number, "round_seconds": 10.0 * number}
        return {
            **shared,
            **{"organization": name, "selected": reason != "not selected", "took_part": took_part, "reason": reason},
            **{"round_attempts": attempts, "simulated_seconds": 1.0},
        }

    rows = [
        *(row(1, 1, "a", "", True, 1), row(1, 1, "b", "dropped out", False, 1)),
        *(row(1, 2, "a", "late", True, 3), row(1, 2, "b", "not selected", False, 3)),
        *(row(2, 1, "a", "late", False, 2), row(2, 1, "b", "", True, 2)),
    ]
    untimed = [{**one, "strategy": "plain", "round_seconds": None} for one in rows]
    # Seconds: 10 + 20 of one run, 10 of the other.
    assert participation_counts([*rows, *untimed]) == {"fedavg": ParticipationCounts(5, 3, 1, 2, 3, 20.0)}
