"""Unlearning: what a model still gives away of an organization that has gone, and what forgetting cost the others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from raysim.analysis.gains import given_away
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.tables.io import schema


@dataclass(frozen=True)
class Unlearning:
    """One organization that has gone; see the table `unlearning` for the fields."""

    strategy: str
    organization: str
    seeds: int
    prompts: int | None
    lines_before: float | None
    lines_after: float | None
    lines_without: float | None
    own_before: float | None
    own_after: float | None
    own_without: float | None
    others_before: float | None
    others_after: float | None
    others_without: float | None


def unlearning(results: RunResults) -> list[Unlearning]:
    """A row for each setting and each organization that has gone, in the order of the experiment."""
    settings: dict[str, list[ReachedModel]] = {}
    for m in results.reached_models:
        if m.family == "unlearned":
            settings.setdefault(m.strategy, []).append(m)
    return [
        _row(results, label, name, found)
        for label, models in settings.items()
        for name in results.organizations
        if any((found := _variants(results, models, name)).values())
    ]


def unlearning_table(results: RunResults) -> pa.Table:
    """The table `unlearning`."""
    return pa.Table.from_pylist([asdict(row) for row in unlearning(results)], schema("unlearning"))


def _variants(results: RunResults, models: Sequence[ReachedModel], name: str) -> dict[str, list[ReachedModel]]:
    """The models of a setting that are about an organization that has gone: before, after, and without it."""
    whole = set(results.organizations)
    forgetful = [m for m in models if m.final and set(m.organizations) == whole and m.last == name]
    orders = {(m.seed, m.order) for m in forgetful}
    return {
        "before": [m for m in models if (m.seed, m.order) in orders and m.moment == "stage" and not m.final],
        "after": forgetful,
        "without": [m for m in models if m.final and set(m.organizations) == whole - {name}],
    }


def _row(results: RunResults, label: str, name: str, found: dict[str, list[ReachedModel]]) -> Unlearning:
    values: dict[str, float | None] = {}
    prompts = None
    others = [other for other in results.organizations if other != name]
    for when, models in found.items():
        lines, number, _, _ = given_away(results, name, models)
        prompts = number if prompts is None else prompts
        values |= {
            f"lines_{when}": lines,
            f"own_{when}": _loss(results, models, [name]),
            f"others_{when}": _loss(results, models, others),
        }
    seeds = len({m.seed for m in found["after"]})
    return Unlearning(strategy=label, organization=name, seeds=seeds, prompts=prompts, **values)


def _loss(results: RunResults, models: Sequence[ReachedModel], organizations: Sequence[str]) -> float | None:
    """Bits per byte, a mean over organizations and models; None where one was not measured."""
    values = [results.measures(m.model).get(("bits_per_byte", name)) for m in models for name in organizations]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
