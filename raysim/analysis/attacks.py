"""The table `attacks`: how well scores tell members from non-members, beside a guess without any model."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.analysis.auc import Area, Floats, Mask, area, interval, true_positives_at
from raysim.tables.io import schema
from raysim.tables.results import Results

SCORES = {"loss": -1.0, "min_k": 1.0, "min_k_plus_plus": 1.0, "zlib": -1.0}
"""The scores of `membership`, and whether a member's should be higher or lower."""

SHOWS, NOTHING, UNKNOWN = "shows membership", "shows nothing", "no baseline"
_FALSE_POSITIVE_RATE = 0.01


@dataclass(frozen=True)
class _Blind:
    """The guesses at one organization's units, in the order of their keys."""

    units: list[tuple[str, int, bool]]
    scores: Floats
    folds: list[int]


def attacks_table(run: Results) -> pa.Table:
    """The table `attacks` of a run."""
    blind = {name: _blind(rows) for name, rows in _grouped(run.table("blind"), "organization")}
    rows: list[dict[str, Any]] = []
    for model, of_model in _grouped(run.table("membership"), "model"):
        for organization, units in _grouped(of_model, "organization"):
            rows += _attacks(model, organization, units, blind.get(organization))
    return pa.Table.from_pylist(rows, schema("attacks"))


def _grouped(table: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    ordered = table.sort_by(column)
    names = ordered.column(column).to_pylist()
    bounds = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]] + [len(names)]
    for begin, end in pairwise(bounds):
        yield names[begin], ordered.slice(begin, end - begin)


def _units(table: pa.Table) -> list[tuple[str, int, bool]]:
    return list(zip(*(table.column(name).to_pylist() for name in ("file", "chunk", "member")), strict=True))


def _by_unit(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in ("file", "chunk", "member")])


def _blind(table: pa.Table) -> _Blind:
    ordered = _by_unit(table)
    return _Blind(_units(ordered), ordered.column("score").to_numpy(), ordered.column("fold").to_pylist())


def _attacks(model: str, organization: str, table: pa.Table, blind: _Blind | None) -> Iterator[dict[str, Any]]:
    ordered = _by_unit(table)
    units = _units(ordered)
    member = np.array([unit[2] for unit in units], dtype=np.bool_)
    files = [(unit[0], unit[2]) for unit in units]
    known = blind if blind and blind.units == units else None
    guess = area(known.scores, member, known.folds) if known else None
    facts = {
        "model": model,
        "organization": organization,
        "members": int(member.sum()),
        "non_members": int((~member).sum()),
        "member_files": len({file for file, inside in files if inside}),
        "non_member_files": len({file for file, inside in files if not inside}),
        **bounded_area("blind_", guess, member, files),
    }
    if known and guess:
        facts["blind_tpr_at_1_fpr"] = true_positives_at(known.scores, member, _FALSE_POSITIVE_RATE, known.folds)
    for name, sign in SCORES.items():
        scores = sign * ordered.column(name).to_numpy()
        if np.isnan(scores).any():
            continue  # of a model that has diverged: nothing is higher or lower
        found = area(scores, member)
        if found is None:
            continue
        own = bounded_area("", found, member, files)
        gain, gained = None, None
        if guess:
            gain = found.value - guess.value
            gained = interval(gain, found.influence - guess.influence, member, files)
        yield {
            **facts,
            **own,
            "score": name,
            "tpr_at_1_fpr": true_positives_at(scores, member, _FALSE_POSITIVE_RATE),
            "gain": gain,
            "gain_low": gained and gained[0],
            "gain_high": gained and gained[1],
            "verdict": verdict_of(own, gain, gained),
        }


def bounded_area(
    prefix: str, found: Area | None, member: Mask, files: list[tuple[str, bool]]
) -> dict[str, float | None]:
    """An area and its interval, which ends where areas do."""
    within = found and interval(found.value, found.influence, member, files)
    return {
        f"{prefix}auc": found and found.value,
        f"{prefix}low": within and max(0.0, within[0]),
        f"{prefix}high": within and min(1.0, within[1]),
    }


def verdict_of(own: dict[str, float | None], gain: float | None, gained: tuple[float, float] | None) -> str:
    """What an attack shows; one that has no interval, since it tells all apart, is taken at its value."""
    if gain is None:
        return UNKNOWN
    low = own["low"] if own["low"] is not None else own["auc"]
    above = gained[0] if gained else gain
    return SHOWS if low is not None and low > 0.5 and above > 0 else NOTHING
