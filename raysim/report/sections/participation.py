"""What the report says of organizations that were late or gone: who missed which rounds of each setting."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from raysim.analysis.results import RunResults
from raysim.measures.base import Section, SectionTable
from raysim.simulation.participation import participation_counts


def section(results: RunResults) -> Section | None:
    """The section on who took part; None where no setting has organizations that may be missing."""
    rows = [row for row in results.run.table("participation").to_pylist() if row["round_seconds"] is not None]
    if not rows:
        return None
    settings = [
        (
            label,
            one.asked,
            f"{one.took_part} ({one.took_part / one.asked:.0%})",
            one.dropped_out,
            one.late,
            one.begun_again,
            f"{one.seconds:,.1f}",
        )
        for label, one in participation_counts(rows).items()
    ]
    overview = SectionTable(
        (
            "Setting",
            "Asked to train, times",
            "Took part",
            "Dropped out",
            "Late",
            "Rounds begun again",
            "Simulated seconds a run",
        ),
        settings,
    )
    by_organization = SectionTable(
        (
            "Setting",
            "Seed",
            "Organization",
            "Took part in",
            "Dropped out in rounds",
            "Late in rounds",
            "Seconds a round, median",
        ),
        [_row(*place, mine) for place, mine in _groups(rows).items()],
    )
    return Section(
        "participation",
        "Who took part",
        "Who took part",
        520,
        lead="Rounds that organizations missed, since they dropped out or were late. Settings of one seed see the same"
        " dropouts.",
        tables=[overview, by_organization],
        note="Times are simulated: of a model of the organizations (`availability`), of which nothing was measured. Who"
        " misses a round is not trained in it. Rounds in which the server waited for an organization are in brackets.",
    )


def _groups(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int, str], list[Mapping[str, Any]]]:
    """Rows by setting and order, seed and organization."""
    groups: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        place = f"{row['strategy']}: {row['order']}", row["seed"], row["organization"]
        groups.setdefault(place, []).append(row)
    return groups


def _row(setting: str, seed: int, organization: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    asked = [row for row in rows if row["selected"]]
    seconds = sorted(row["simulated_seconds"] for row in asked)
    return (
        setting,
        seed,
        organization,
        f"{sum(row['took_part'] for row in rows)} of {len(asked)}",
        _rounds(rows, "dropped out"),
        _rounds(rows, "late"),
        f"{seconds[len(seconds) // 2]:,.1f}" if seconds else "–",
    )


def _rounds(rows: Iterable[Mapping[str, Any]], reason: str) -> str:
    """Rounds in which something went wrong; in brackets where the organization took part all the same."""
    found = [f"({row['round']})" if row["took_part"] else f"{row['round']}" for row in rows if row["reason"] == reason]
    return ", ".join(found) or "–"
