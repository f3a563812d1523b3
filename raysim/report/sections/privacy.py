"""What the report says of differential privacy: how much each setting has spent, of whom, what it rests on, and which
epsilons an audit rules out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from raysim.analysis.results import RunResults
from raysim.measures.base import Section, SectionTable

_COLUMNS = (
    "Setting",
    "Unit",
    "Of",
    "Round",
    "Epsilon",
    "Delta",
    "Noise multiplier",
    "Sampling",
    "Accountant",
)


_AUDIT_COLUMNS = (
    "Setting",
    "Seed",
    "Of",
    "Epsilon is above (audit, 95 %)",
    "and below (accounted)",
    "Delta",
    "Right guesses",
    "Verdict",
)


def section(results: RunResults, audits: Sequence[Mapping[str, Any]]) -> Section | None:
    """The section of the report on guarantees, each setting after its last round; None where there is nothing to say.

    Args:
        results: of the run.
        audits: rows of ``privacy_audits``.
    """
    rows = last_rounds(results.run.table("privacy").to_pylist())
    if not rows and not audits:
        return None
    assumptions = sorted({(row["unit"], row["assumptions"]) for row in rows})
    return Section(
        "privacy",
        "Differential privacy",
        "Guarantees",
        860,
        lead="At most so much can be told of one unit from the models of all rounds, whoever looks and whatever else he"
        " knows: an upper bound that the noise pays for, beside what is measured in the other sections.",
        tables=[
            *([SectionTable(_COLUMNS, [_cells(row) for row in rows])] if rows else []),
            *([SectionTable(_AUDIT_COLUMNS, [_audit_cells(row) for row in audits])] if audits else []),
        ],
        note=" ".join(
            [
                *(f"Unit {unit}: {text}." for unit, text in assumptions),
                *([_OF_FILES] if any(row["unit"] == "sequence" for row in rows) else []),
                *([_OF_AUDITS] if audits else []),
            ]
        ),
    )


_OF_FILES = (
    "A file is no unit: it spans sequences, and without it all that follow would be cut elsewhere, so that for files"
    " that join or leave epsilon is unbounded. Where a file of k sequences is exchanged for one as long, the bound is"
    " that of a noise multiplier 2 k times smaller, without sampling."
)


_OF_AUDITS = (
    "Audits guess from losses of the final model alone which sequences of random tokens were trained on; who sees"
    " uploads or all rounds could tell more. So a low bound proves nothing, and one above the claim says that claim or"
    " code is wrong, but for one audit in twenty. Of guarantees of organizations there is none: a sequence is another"
    " unit."
)


def last_rounds(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of rows of ``privacy`` those of the last round of each setting, variant and organization; of equal seeds one."""
    last: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for row in rows:
        place = row["strategy"], row["order"], row["organization"]
        if place not in last or (row["round"], -row["seed"]) >= (last[place]["round"], -last[place]["seed"]):
            last[place] = row
    return list(last.values())


def _audit_cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    claimed = row["claimed_epsilon"]
    return (
        f"{row['strategy']}: {row['order']}",
        row["seed"],
        row["organization"],
        f"{row['audited_epsilon']:.2f}",
        "–" if claimed is None else f"{claimed:.2f}",
        f"{row['delta']:.0e}",
        f"{row['correct']} of {row['guesses']}, of {row['canaries']} coins",
        row["verdict"],
    )


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    drawn = f"{row['sampling']}, {row['sampling_rate']:.3g}" if row["sampling_rate"] < 1 else row["sampling"]
    return (
        f"{row['strategy']}: {row['order']}",
        row["unit"],
        row["organization"] or "each organization",
        row["round"],
        "unbounded" if row["epsilon"] is None else f"{row['epsilon']:.2f}",
        f"{row['delta']:.0e}",
        f"{row['noise_multiplier']:.3g}",
        drawn,
        row["accountant"],
    )
