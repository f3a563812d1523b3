"""The table `counterfactuals`: what each setting gives away of an owner beyond models that never saw it.

Counterfactual memorization by organization in place of by example (Zhang, Ippolito, Lee, Jagielski, Tramer & Carlini:
Counterfactual Memorization in Neural Language Models, NeurIPS 2023, arXiv 2112.12938), with the interval of contrasts.
Below five seeds there is none: over files alone one of 95 % held the truth in 58 to 91 % of simulated tables.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from raysim.analysis.arms import given, measured
from raysim.analysis.estimates import MIN_SEEDS, estimates
from raysim.analysis.paired import Contrast, Ratio
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats
from raysim.analysis.without_owner import LINES, ModelsWithout, course_of, references_of, stages_since
from raysim.tables.io import schema

MEASURED = ("exclusive", "covered")
"""The counts of lines that are compared."""

NOT_GIVEN = "these models were not given the same prompts of it"


@dataclass(frozen=True)
class Counterfactual:
    """One row; see the table `counterfactuals` for the fields."""

    strategy: str
    family: str
    arm: str
    trained_on: str
    moment: str
    index: int
    since: int | None
    owner: str
    trained: bool
    lines: str
    reference: str
    seeds: int
    prompts: int
    given_away: float | None
    without: float | None
    effect: float | None
    low: float | None
    high: float | None
    note: str

    @property
    def issued(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None

    @property
    def holds_zero(self) -> bool:
        """Whether its interval holds 0; False without one."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


@dataclass(frozen=True)
class _Pair:
    """A model, and those without the owner that it is held against."""

    reached: ReachedModel
    references: ModelsWithout


def counterfactuals(results: RunResults) -> list[Counterfactual]:
    """A row for each setting, course, moment, owner and count of lines; of incremental settings the means over orders.

    Models are compared within a seed; the initial one, which has seen nothing, is a reference alone, and so is a pool
    without an organization for the others.
    """
    probed = measured(results, results.reached_models)
    found: list[Counterfactual] = []
    for owner in results.organizations:
        groups = _groups(probed, owner)
        pairs = {place: [_Pair(m, references_of(m, owner, probed)) for m in models] for place, models in groups.items()}
        asked = {place: of_place for place, of_place in pairs.items() if _is_asked(results, of_place)}
        for lines in MEASURED:
            found += [_row(results, place[1], owner, lines, of_place) for place, of_place in asked.items()]
    return found


def counterfactuals_table(results: RunResults) -> pa.Table:
    """The table `counterfactuals` of a run."""
    return pa.Table.from_pylist([asdict(row) for row in counterfactuals(results)], schema("counterfactuals"))


_Place = tuple[tuple[str, str, str, int, int | None], str]
"""Strategy, arm, moment, index and stages since the owner's, and what it was trained on ('': all orders)."""


def _groups(probed: Iterable[ReachedModel], owner: str) -> dict[_Place, list[ReachedModel]]:
    """The models of each row, each once; orders that begin alike share those of their beginning."""
    groups: dict[_Place, dict[str, ReachedModel]] = {}
    for m in probed:
        if m.moment == "initial" or not m.organizations or (m.family == "incremental" and m.moment != "stage"):
            continue
        if m.family == "unlearned":  # held against the model without the owner in a table of its own
            continue
        since = stages_since(m, owner)
        where = (m.strategy, m.arm, m.moment, m.index, since)
        course = (" > " if m.family == "incremental" else " + ").join(course_of(m))
        groups.setdefault((where, course), {}).setdefault(m.model, m)
        if m.family == "incremental" and m.final and owner in m.organizations:
            groups.setdefault((where, ""), {}).setdefault(m.model, m)
    return {place: list(models.values()) for place, models in groups.items()}


def _is_asked(results: RunResults, pairs: Sequence[_Pair]) -> bool:
    """Whether there is anything to hold the models against, or there should be."""
    whole = len(pairs[0].reached.members) == len(results.organizations)
    return whole or any(pair.references.models for pair in pairs)


def _row(results: RunResults, course: str, owner: str, lines: str, pairs: Sequence[_Pair]) -> Counterfactual:
    first = pairs[0].reached
    held = [pair for pair in pairs if pair.references.models]
    kinds = sorted({pair.references.kind for pair in held})
    seeds = sorted({pair.reached.seed for pair in held})
    own, contrasts, levels = 0, [], []
    for seed in seeds:
        mine = [pair for pair in held if pair.reached.seed == seed]
        ours, theirs, used = _lines_of(results, owner, lines, mine)
        if not used.any():
            continue
        own = max(own, int(used.sum()))
        levels.append((float(ours[used > 0].mean()), float(theirs[used > 0].mean())))
        statistic = Ratio((ours - theirs) * used, used)
        contrasts.append(Contrast("counterfactuals", owner, seed, "lines a prompt", "prompts", statistic))
    prompts = results.prompts
    found = estimates(contrasts, prompts, prompts.repositories, results.losses)
    estimate = found[0] if found else None
    few = f"too few seeds: {len(contrasts)}, {MIN_SEEDS} are needed" if len(contrasts) < MIN_SEEDS else ""
    low, high = estimate.interval() if estimate and not few else (float("nan"), float("nan"))
    given_away, without = (float(value) for value in np.mean(levels, axis=0)) if levels else (None, None)
    missing = (
        NOT_GIVEN if held else f"no such model without {owner}; add `{LINES.get(first.family, 'strategies: [single]')}`"
    )
    return Counterfactual(
        strategy=first.strategy,
        family=first.family,
        arm=first.arm,
        trained_on=course,
        moment=first.moment,
        index=first.index,
        since=stages_since(first, owner),
        owner=owner,
        trained=owner in first.organizations,
        lines=lines,
        reference="; ".join(kinds),
        seeds=len(contrasts),
        prompts=own,
        given_away=given_away,
        without=without,
        effect=None if estimate is None else estimate.mean,
        low=float(low) if np.isfinite(low) else None,
        high=float(high) if np.isfinite(high) else None,
        note=missing if estimate is None else few or estimate.note,
    )


def _lines_of(results: RunResults, owner: str, lines: str, pairs: Sequence[_Pair]) -> tuple[Floats, Floats, Floats]:
    """Lines a prompt of the models, of their references (means over `pairs`), and 1.0 where a prompt counts; ``[P]``.

    Prompts count that are the owner's own training text and were given to all of these models.
    """
    arrays = results.prompts
    counts = arrays.exclusive if lines == "exclusive" else arrays.covered
    place = arrays.owners.index(owner)

    def mean(models: Iterable[ReachedModel]) -> Floats:
        return np.mean([counts[arrays.model_index[m.model], :, place] for m in models], axis=0)

    everyone = [m for pair in pairs for m in (pair.reached, *pair.references.models)]
    used = given(results, everyone) * arrays.from_training * arrays.prompted[:, place]
    ours = np.mean([mean([pair.reached]) for pair in pairs], axis=0)
    theirs = np.mean([mean(pair.references.models) for pair in pairs], axis=0)
    return ours, theirs, used
