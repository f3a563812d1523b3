"""The table `summary`: everything that was measured of each final model, an organization a row.

Each number comes from the function that the report shows it by; nothing is computed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raysim.analysis.exposures import mean_exposures
from raysim.analysis.extraction import Recital, greedy_shares, lengths, recitals
from raysim.analysis.gains import given_away
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.recitals import recited_from, responses
from raysim.analysis.results import RunResults
from raysim.analysis.uploads import last_uploads
from raysim.tables.io import schema

Rows = list[dict[str, Any]]

_SETTING = ("seed", "strategy", "family", "arm", "fraction", "order", "model")
_OF_ORGANIZATION = (
    "bits_per_byte",
    "log_perplexity",
    "accuracy",
    "training_loss",
    "covered",
    "exclusive",
    "shared",
    "public",
    "covered_eligible",
    "exclusive_eligible",
)
"""Measures of `RunResults` that each organization has of its own."""

_OF_MODEL = {
    "joint_bits_per_byte": "bits_per_byte",
    **{name: name for name in ("ratio", "ratio_eligible", "matched_share", "fragments", "parses", "passes")},
}
"""Measures of `RunResults` that are a model's as a whole, by column."""

_UPLOADED = ("round", "covered", "exclusive", "exposure", "training_loss")
_STUDY_KINDS = ("function", "prefix")


def summary_table(results: RunResults, attacks: pa.Table) -> pa.Table:
    """The table `summary` of a run; `attacks` is its table of that name."""
    known = _Known.of(results, attacks)
    rows = [
        _row(results, known, reached, organization)
        for reached in finals(results.reached_models)
        for organization in results.organizations
    ]
    return pa.Table.from_pylist(rows, schema("summary"))


@dataclass(frozen=True)
class _Known:
    """What tables say, where a row looks it up."""

    exposures: Mapping[tuple[str, str], float]
    by_chance: Mapping[tuple[str, str], float]
    extraction: Mapping[str, Recital]
    longest_prefix: int
    recitals: Mapping[tuple[str, str], Rows]
    attacks: Mapping[tuple[str, str], Rows]
    counts: Mapping[tuple[str, str], Rows]
    uploads: Mapping[tuple[int, str, str, str], Mapping[str, Any]]

    @classmethod
    def of(cls, results: RunResults, attacks: pa.Table) -> "_Known":
        run = results.run
        return cls(
            exposures=mean_exposures(run),
            by_chance=mean_exposures(run, planted=False),
            extraction=recitals(results),
            longest_prefix=max(lengths(results), default=0),
            recitals=_grouped(run.table("recitals"), "organization"),
            attacks=_grouped(attacks, "organization"),
            counts=_grouped(run.table("study_counts"), "owner"),
            uploads={(row["seed"], *place): row for place, rows in last_uploads(run).items() for row in rows},
        )


def _row(results: RunResults, known: _Known, reached: ReachedModel, organization: str) -> dict[str, Any]:
    place = reached.model, organization
    measures = results.measures(reached.model)
    lines, prompts, leaking, _ = given_away(results, organization, [reached])
    return {
        **{name: getattr(reached, name) for name in _SETTING},
        "organization": organization,
        "took_part": organization in reached.organizations,
        "tokens_seen": reached.tokens_seen.get(organization, 0),
        "steps_in_sequence": reached.steps_in_sequence,
        **{name: measures.get((name, organization)) for name in _OF_ORGANIZATION},
        **{"own_lines": lines, "own_prompts": prompts, "own_leaking": leaking},
        **_study_counts(known.counts.get(place, [])),
        **_extracted(known, place),
        "exposure": known.exposures.get(place),
        "exposure_unplanted": known.by_chance.get(place),
        **_recited(results, reached, organization, known.recitals.get(place, [])),
        **_membership(known.attacks.get(place, [])),
        **_uploaded(known.uploads.get((reached.seed, reached.strategy, reached.order, organization), {})),
        **{column: measures.get((name, "")) for column, name in _OF_MODEL.items()},
    }


def _study_counts(rows: Rows) -> dict[str, int]:
    counted = {row["kind"]: row for row in rows}
    kinds = [kind for kind in _STUDY_KINDS if kind in counted]
    return {f"study_{kind}_{name}": counted[kind][name] for kind in kinds for name in ("fragments", "lines")}


def _extracted(known: _Known, place: tuple[str, str]) -> dict[str, float]:
    model, organization = place
    whole = known.extraction.get(model)
    part = whole and whole.of([organization], known.longest_prefix)
    return dict(zip(("extracted", "near_extracted"), greedy_shares(part).tolist(), strict=True)) if part else {}


def _recited(results: RunResults, reached: ReachedModel, organization: str, rows: Rows) -> dict[str, float | None]:
    took_part = organization in reached.organizations
    found = responses([reached], {reached.model: rows}, took_part, recited_from(results))
    return {"recited": found.planted, "recited_unplanted": found.unplanted} if found else {}


def _membership(rows: Rows) -> dict[str, float | None]:
    areas = {f"membership_{row['score']}_auc": row["auc"] for row in rows}
    return {**areas, "membership_blind_auc": rows[0]["blind_auc"]} if rows else {}


def _uploaded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"upload_{name}": row[name] for name in _UPLOADED} if row else {}


def _grouped(table: pa.Table, owner: str) -> dict[tuple[str, str], Rows]:
    """Rows by model and organization, whose name is in the column `owner`."""
    groups: dict[tuple[str, str], Rows] = {}
    for row in table.to_pylist():
        groups.setdefault((row["model"], row[owner]), []).append(row)
    return groups
