"""The table `predictions`: what was predicted of each model before training, beside what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.analysis.arrays import Counts, Mask
from raysim.analysis.auc import area, interval
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.tables.io import schema

UNKNOWN = -1
"""Places of a continuation that has too few whole lines."""


@dataclass(frozen=True)
class Items:
    """Prompts that models were given, from the training splits of their organizations; equal lengths.

    Attributes:
        models: key of the model.
        prompts: position of the prompt in the arrays.
        files: organization and file of the prompt.
        trained: whether the model was trained on the prompt's organization.
        places: of the true continuation in what the model was trained on.
        given_away: whether a sample holds lines of the prompt's organization.
    """

    models: list[str]
    prompts: Counts
    files: list[tuple[str, str]]
    trained: Mask
    places: Counts
    given_away: Mask

    def __len__(self) -> int:
        return len(self.models)

    def where(self, chosen: Mask) -> "Items":
        """Those of the items that are chosen."""
        at = np.flatnonzero(chosen).tolist()
        return Items(
            [self.models[i] for i in at],
            self.prompts[chosen],
            [self.files[i] for i in at],
            self.trained[chosen],
            self.places[chosen],
            self.given_away[chosen],
        )

    def bins(self) -> list[Mask]:
        """Which have no place, one, and more."""
        return [self.places == 0, self.places == 1, self.places > 1]

    def ranking(self) -> tuple[float | None, float | None, float | None]:
        """AUC of places for what was given away, within models, and the interval over files; None where there is none.

        Where all prompts of a model have as many places the AUC is 0.5 by its ties.
        """
        found = area(self.places.astype(np.float64), self.given_away, self.models)
        if found is None:
            return None, None, None
        within = interval(found.value, found.influence, self.given_away, self.files)
        if within is None:
            return found.value, None, None
        return found.value, max(0.0, within[0]), min(1.0, within[1])


def places_of(results: RunResults) -> Counts:
    """Places of each prompt's continuation in each training split, int64 ``[P, O]``; `UNKNOWN` where it has no rows."""
    arrays = results.prompts
    found = np.full((len(arrays.prompts), len(results.organizations)), UNKNOWN, dtype=np.int64)
    prompt_of = {key: i for i, key in enumerate(arrays.prompts)}
    owner_of = {name: i for i, name in enumerate(results.organizations)}
    for row in results.run.table("copies").to_pylist():
        if row["prompt"] in prompt_of:  # else the table of prompts is not there
            found[prompt_of[row["prompt"]], owner_of[row["organization"]]] = row["places"]
    return found


def items_of(results: RunResults, models: Sequence[ReachedModel], places: npt.NDArray[np.int64]) -> Items:
    """The prompts that models were given whose continuation is known; each model once, however many rows share it."""
    arrays = results.prompts
    known = arrays.from_training & (places != UNKNOWN).all(axis=1) & bool(places.shape[1])
    owners = arrays.own_owner
    keys: list[str] = []
    parts: list[tuple[Counts, Mask, Counts, Mask]] = []
    for reached in {m.model: m for m in models if m.model in arrays.model_index}.values():
        i = arrays.model_index[reached.model]
        asked = np.flatnonzero(known & (arrays.num_samples[i] > 0))
        members = np.array([name in reached.organizations for name in results.organizations], dtype=np.bool_)
        keys += [reached.model] * len(asked)
        taken = arrays.hits[i, asked, owners[asked]] > 0
        parts.append((asked, members[owners[asked]], places[asked] @ members.astype(np.int64), taken))
    empty = np.zeros(0, np.int64)
    columns = [np.concatenate([part[n] for part in parts] or [empty]) for n in range(4)]
    prompts = columns[0].astype(np.int64)
    files = [(arrays.organizations[p], arrays.files[p]) for p in prompts.tolist()]
    trained, taken = columns[1].astype(np.bool_), columns[3].astype(np.bool_)
    return Items(keys, prompts, files, trained, columns[2].astype(np.int64), taken)


def predictions_table(results: RunResults) -> pa.Table:
    """The table `predictions` of a run: a row for each measured model and organization, and one for all prompts."""
    emissions = {(row["model"], row["owner"]): row for row in results.run.table("emissions").to_pylist()}
    places = places_of(results)
    rows: list[dict[str, Any]] = []
    facts: dict[str, list[dict[str, Any]]] = {}
    for reached in results.reached_models:
        if reached.model not in facts:
            facts[reached.model] = _facts(results, reached, places, emissions)
        where = {name: getattr(reached, name) for name in ("seed", "strategy", "order", "moment", "index", "model")}
        rows += [{**where, **found} for found in facts[reached.model]]
    return pa.Table.from_pylist(rows, schema("predictions"))


def _facts(
    results: RunResults,
    reached: ReachedModel,
    places: npt.NDArray[np.int64],
    emissions: dict[tuple[str, str], dict[str, Any]],
) -> list[dict[str, Any]]:
    """What is known of one model, without its setting; nothing if it was not probed or this was not counted."""
    items = items_of(results, [reached], places)
    organizations = [o for o in results.organizations if (reached.model, o) in emissions]
    if not organizations:
        return []
    rows = [{"organization": "", "trained": None, **_ranked(items)}]
    for name in organizations:
        counted = emissions[reached.model, name]
        shares = {
            column: counted[source] / counted["lines"] if counted["lines"] else None
            for column, source in (("bound", "seen"), ("measured", "emitted"), ("foreseen", "foreseen"))
        }
        own = items.where(np.array([organization == name for organization, _ in items.files], dtype=np.bool_))
        trained = name in reached.organizations
        rows.append({"organization": name, "trained": trained, **shares, **_ranked(own)})
    return rows


def _ranked(items: Items) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for number, chosen in enumerate(items.bins()):
        counts[f"prompts_{number}"] = int(chosen.sum())
        counts[f"given_{number}"] = int(items.given_away[chosen].sum())
    auc, low, high = items.ranking()
    return {**counts, "auc": auc, "low": low, "high": high}
