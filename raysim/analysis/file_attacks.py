"""The table `file_attacks`: attacks on whole files, with and without reference models, beside the blind guess."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysim.analysis.attacks import SCORES, bounded_area, verdict_of
from raysim.analysis.auc import Floats, Mask, area, interval, true_positives_at
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.reference_attacks import lira, rmia
from raysim.analysis.results import RunResults
from raysim.analysis.without_owner import LINES, OTHER_SETTINGS, references_of
from raysim.core.keys import seed_of
from raysim.tables.io import schema

FEWEST_NON_MEMBERS = 100
"""Files of the validation split, below which 1 % of them is not one."""

REFUSED = "refused"
_RATES = {"tpr_at_1_fpr": 0.01, "tpr_at_01_fpr": 0.001}
_NUM_RESAMPLED = 400


@dataclass(frozen=True)
class _Files:
    """One organization's files, in the order of their names, members and others.

    Attributes:
        names, member: of each file.
        scores: of each model and score, float64 ``[F]``.
        blind, folds: the blind guess, where there is one of the same files.
    """

    names: list[tuple[str, bool]]
    member: Mask
    scores: dict[str, dict[str, Floats]]
    blind: Floats | None
    folds: list[int]


def file_attacks_table(results: RunResults) -> pa.Table:
    """The table `file_attacks` of a run."""
    membership, blind = results.run.table("membership"), results.run.table("blind")
    models = {m.model: m for m in results.reached_models if m.organizations}
    rows: list[dict[str, Any]] = []
    for organization in results.organizations:
        here = pc.field("organization") == organization
        files = _files_of(membership.filter(here), blind.filter(here))
        for key in sorted(files.scores.keys() & models.keys()):
            rows += _attacks(files, models[key], organization, models)
    return pa.Table.from_pylist(rows, schema("file_attacks"))


def _files_of(membership: pa.Table, blind: pa.Table) -> _Files:
    """Means over each file's chunks, weighted by their tokens; of the guess without weights."""
    found: dict[str, dict[tuple[str, bool], list[dict[str, Any]]]] = {}
    for row in membership.to_pylist():
        found.setdefault(row["model"], {}).setdefault((row["file"], row["member"]), []).append(row)
    names = sorted({name for of_model in found.values() for name in of_model})
    scores = {
        model: {score: _weighted(of_model, names, score) for score in SCORES} for model, of_model in found.items()
    }
    guesses: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for row in blind.to_pylist():
        guesses.setdefault((row["file"], row["member"]), []).append(row)
    known = bool(names) and sorted(guesses) == names
    mean = [float(np.mean([row["score"] for row in guesses[name]])) for name in names] if known else []
    guess = np.array(mean, np.float64) if known else None
    folds = [guesses[name][0]["fold"] for name in names] if known else []
    return _Files(names, np.array([member for _, member in names], np.bool_), scores, guess, folds)


def _weighted(
    of_model: Mapping[tuple[str, bool], Sequence[Mapping[str, Any]]], names: Sequence[tuple[str, bool]], score: str
) -> Floats:
    return np.array(
        [
            sum(row[score] * row["tokens"] for row in of_model[name]) / sum(row["tokens"] for row in of_model[name])
            for name in names
        ]
    )


def _attacks(
    files: _Files, reached: ReachedModel, organization: str, models: Mapping[str, ReachedModel]
) -> Iterator[dict[str, Any]]:
    known = {key: m for key, m in models.items() if key in files.scores}
    references, kind = reference_models(reached, organization, list(known.values()))
    losses = np.array([files.scores[m.model]["loss"] for m in references])
    own = files.scores[reached.model]
    values: dict[str, Floats | None] = {score: sign * own[score] for score, sign in SCORES.items()}
    values["lira"] = lira(own["loss"], losses) if references else None
    values["rmia"] = rmia(own["loss"], losses, ~files.member) if references else None
    for score, of_files in values.items():
        by_references = score in ("lira", "rmia")
        lacking = f"no model without {organization}; add `{LINES.get(reached.family, 'strategies: [single]')}`"
        yield {
            "model": reached.model,
            "organization": organization,
            "score": score,
            "trained": organization in reached.organizations,
            "references": len(references) if by_references else None,
            "reference": kind if by_references else "",
            "member_files": int(files.member.sum()),
            "non_member_files": int((~files.member).sum()),
            **_judged(files, of_files, lacking, (reached.model, organization, score)),
        }


def reference_models(
    reached: ReachedModel, owner: str, measured: Sequence[ReachedModel]
) -> tuple[list[ReachedModel], str]:
    """The models that were never trained on an owner, of all seeds, and which these are.

    Those that the model is held against in `counterfactuals`, of each seed of its setting: they are trained as it was,
    but for the owner. Where there are none, final models of other settings.
    """
    same = [
        m
        for m in measured
        if (m.strategy, m.arm, m.order, m.moment, m.index)
        == (reached.strategy, reached.arm, reached.order, reached.moment, reached.index)
    ]
    found = [references_of(m, owner, measured) for m in same]
    kinds = {one.kind for one in found if one.models}
    unique = {m.model: m for one in found for m in one.models if m.model != reached.model}
    if not unique:
        unique = {m.model: m for m in measured if m.final and owner not in m.organizations and m.model != reached.model}
        kinds = {OTHER_SETTINGS} if unique else set()
    return [unique[key] for key in sorted(unique)], "; ".join(sorted(kinds))


def _judged(files: _Files, scores: Floats | None, lacking: str, named: tuple[str, ...]) -> dict[str, Any]:
    """What a score shows, or why it shows nothing; `named` tells its random draws from others."""
    others = int((~files.member).sum())
    if others < FEWEST_NON_MEMBERS:
        return _refused(f"too few non-members: {others} files, {FEWEST_NON_MEMBERS} are needed")
    if scores is None:
        return _refused(lacking)
    found = None if np.isnan(scores).any() else area(scores, files.member)
    if found is None:
        return _refused("scores that are no numbers" if np.isnan(scores).any() else "no member file")
    own = bounded_area("", found, files.member, files.names)
    judged: dict[str, Any] = {**own, "note": ""}
    for name, rate in _RATES.items():
        judged |= _true_positives(name, rate, scores, files.member, named)
    guess = None if files.blind is None else area(files.blind, files.member, files.folds)
    judged |= bounded_area("blind_", guess, files.member, files.names)
    gain, gained = None, None
    if guess and files.blind is not None:
        judged["blind_tpr_at_1_fpr"] = true_positives_at(files.blind, files.member, 0.01, files.folds)
        gain = found.value - guess.value
        gained = interval(gain, found.influence - guess.influence, files.member, files.names)
    low, high = gained or (None, None)
    return judged | {"gain": gain, "gain_low": low, "gain_high": high, "verdict": verdict_of(own, gain, gained)}


def _refused(why: str) -> dict[str, Any]:
    return {"verdict": REFUSED, "note": why}


def _true_positives(name: str, rate: float, scores: Floats, member: Mask, named: tuple[str, ...]) -> dict[str, float]:
    """Share of members found, and percentiles of a bootstrap of members and of non-members."""
    generator = np.random.Generator(np.random.Philox(seed_of("file attacks", name, *named)))
    members, others = (generator.choice(one, (_NUM_RESAMPLED, len(one))) for one in (scores[member], scores[~member]))
    allowed = int(np.floor(round(rate * others.shape[1], 9)))
    thresholds = np.sort(others, axis=1)[:, -1 - allowed]
    low, high = np.percentile((members > thresholds[:, None]).mean(axis=1), [2.5, 97.5])
    return {name: true_positives_at(scores, member, rate), f"{name}_low": float(low), f"{name}_high": float(high)}
