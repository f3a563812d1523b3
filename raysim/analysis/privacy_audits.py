"""The table `privacy_audits`: beside the epsilon that a setting claims, the epsilons that an audit rules out.

Of each organization, the sequence canaries whose loss has fallen most are guessed to be in, and those whose loss has
fallen least to be out; see `raysim.analysis.audited_epsilon`. The unit is a sequence, so settings whose guarantee is of
another unit are left out, and so is training on part of the sequences, in which canaries may not be.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.analysis.audited_epsilon import audited_epsilon
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.measures.privacy_audit import PrivacyAuditSettings
from raysim.tables.io import schema

UNIT = "sequence"

_Losses = dict[int, tuple[bool, float]]
"""Of each canary whether it is in, and its loss."""


def privacy_audits_table(results: RunResults) -> pa.Table:
    """The table `privacy_audits` of a run."""
    losses = _losses(results.run.table("sequence_canaries").to_pylist())
    settings = PrivacyAuditSettings.model_validate(results.run.setting("measure", "privacy_audit") or {})
    starts = {m.seed: m.model for m in results.reached_models if m.moment == "initial"}
    claims = results.run.table("privacy").to_pylist()
    rows = [
        _row(model, organization, losses, starts[model.seed], claim, settings)
        for model in finals(results.reached_models)
        if model.fraction == 1 and model.seed in starts
        for organization, claim in _audited(model, claims)
        if (model.model, organization) in losses and (starts[model.seed], organization) in losses
    ]
    return pa.Table.from_pylist(rows, schema("privacy_audits"))


def _losses(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], _Losses]:
    found: dict[tuple[str, str], _Losses] = {}
    for row in rows:
        place = row["model"], row["organization"]
        found.setdefault(place, {})[row["canary"]] = row["included"], row["nats"]
    return found


def _audited(
    model: ReachedModel, claims: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Organizations that the model was trained on, each with what it was promised after the model's last round."""
    setting = model.seed, model.strategy, model.order
    mine = [row for row in claims if (row["seed"], row["strategy"], row["order"]) == setting]
    if any(row["unit"] != UNIT for row in mine):
        return
    last = {row["organization"]: row for row in sorted(mine, key=lambda row: row["round"])}
    for organization in model.organizations:
        yield organization, last.get(organization)


def _row(
    model: ReachedModel,
    organization: str,
    losses: Mapping[tuple[str, str], _Losses],
    start: str,
    claim: Mapping[str, Any] | None,
    settings: PrivacyAuditSettings,
) -> dict[str, Any]:
    after, before = losses[model.model, organization], losses[start, organization]
    scores = np.array([before[canary][1] - after[canary][1] for canary in sorted(after)])
    included = np.array([after[canary][0] for canary in sorted(after)])
    delta = claim["delta"] if claim else settings.delta
    found = audited_epsilon(scores, included, settings.guesses_of(len(scores)), delta)
    epsilon = claim["epsilon"] if claim else None
    return {
        "seed": model.seed,
        "strategy": model.strategy,
        "order": model.order,
        "organization": organization,
        "model": model.model,
        "unit": UNIT,
        "delta": delta,
        "claimed_epsilon": epsilon,
        "audited_epsilon": found.lower,
        "canaries": found.canaries,
        "guesses": found.guesses,
        "correct": found.correct,
        "verdict": _verdict(found.lower, epsilon),
    }


def _verdict(lower: float, epsilon: float | None) -> str:
    if epsilon is None:
        return "nothing claimed"
    return "above the claim" if lower > epsilon else "within the claim"
