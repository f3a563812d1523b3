"""Contrasts of clones that were listed before training: F5 (duplicates within), F6 (clones across organizations).

The event is the clone itself: a sample that begins with `min_lines` lines of its prompt's true continuation. Prompts
are left out by what stands in the corpus alone, never by what models emitted.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from raysim.analysis.arms import FULL, against, arms_of, both, entered, final_models, given, measured, seeds_of
from raysim.analysis.arrays import Mask
from raysim.analysis.budgets import compare
from raysim.analysis.lines_to_add import TO_ADD
from raysim.analysis.paired import Contrast, Found, Ratio, RiskDifference
from raysim.analysis.reached_models import ReachedModel, declared_finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats

F5_COPIES = "duplicated minus unique continuations, within an organization"
F6_CROSS = "centralized or federated minus incremental, clones across organizations"

MIN_PROMPTS = 20
"""In each group that is compared."""


def duplicates_are_memorized(results: RunResults) -> Found:
    """F5: share of samples that continue a prompt as its owner did, duplicated continuations against unique ones."""
    found, arrays = Found(), results.prompts
    listed = _listed(results, found)
    if listed is None:
        return found
    exposed = arrays.copies_within > 0
    strata = [f"{organization} {kind}" for organization, kind in zip(arrays.organizations, arrays.kinds, strict=True)]
    for seed in seeds_of(results):
        ends = [m for m in declared_finals(results.reached_models) if m.seed == seed and m.fraction == FULL]
        models = measured(results, ends)
        outcomes, times = _by_arm(results, models)
        used = (times > 0) & listed
        groups = int((used & exposed).sum()), int((used & ~exposed).sum())
        if min(groups) < MIN_PROMPTS:
            found.lack(f"{TO_ADD['prompts']} ({groups[0]} duplicated and {groups[1]} unique, {MIN_PROMPTS} are needed)")
            continue
        shares = outcomes / np.maximum(times, 1)
        statistic = RiskDifference(shares, exposed, used, strata, ("duplicated", "unique"))
        note = f"{groups[0]} duplicated and {groups[1]} unique prompts, text of licences left out; no dedup arm was run"
        found.contrasts.append(
            Contrast(
                "F5", F5_COPIES, seed, "share of samples", "prompts", statistic, note, "", entered(models), both(models)
            )
        )
    return found


def clones_across(results: RunResults) -> Found:
    """F6: share of samples that emit a clone which, before training, several organizations had."""
    found, arrays, settings = Found(), results.prompts, results.findings_settings.F6
    together = {
        arm: label
        for family in ("centralized", "federated")
        for arm, label in arms_of(results, family, FULL, settings.arms).items()
    }
    families = {m.family for m in results.reached_models if m.arm in together}
    for family in ("centralized", "federated"):
        if family not in families and settings.arms is None:
            found.lack(TO_ADD[family])
    ordered = arms_of(results, "incremental", FULL, settings.references)
    if not ordered:
        found.lack(TO_ADD["incremental"])
    listed = _listed(results, found)
    if listed is None or found.missing:
        return found
    cross = listed & (arrays.copies_across > 0)
    for seed, (arm, label), (reference, other) in product(seeds_of(results), together.items(), ordered.items()):
        ours = measured(results, _finals(results, seed, arm))
        theirs = measured(results, _finals(results, seed, reference))
        if not ours or not theirs:
            continue
        used = given(results, ours + theirs) * cross
        if used.sum() < MIN_PROMPTS:
            found.lack(f"{TO_ADD['prompts']} ({int(used.sum())} with a clone elsewhere, {MIN_PROMPTS} are needed)")
            continue
        statistic = Ratio((_emitted(results, ours) - _emitted(results, theirs)) * used, used)
        note = f"{int(used.sum())} prompts, text of licences left out; {compare(ours, theirs, results.training_loss)}"
        name = against(label, other, len(ordered) == 1)
        models, sides = entered(ours, theirs), both(ours, theirs)
        found.contrasts.append(
            Contrast("F6", F6_CROSS, seed, "share of samples", "prompts", statistic, note, name, models, sides)
        )
    return found


def _listed(results: RunResults, found: Found) -> Mask | None:
    """Prompts of training text with enough lines to come that are no licence; None, and why, if that is not known."""
    arrays = results.prompts
    if arrays.empty:
        found.lack(TO_ADD["memorization"])
        return None
    if arrays.continued is None or arrays.licence_header is None:
        found.lack(TO_ADD["continued"])
        return None
    return arrays.eligible & arrays.from_training & ~arrays.licence_header


def _finals(results: RunResults, seed: int, arm: str) -> list[ReachedModel]:
    families = {m.family for m in results.reached_models if m.arm == arm}
    return [m for family in sorted(families) for m in final_models(results, seed, family, arm=arm)]


def _emitted(results: RunResults, reached: Sequence[ReachedModel]) -> Floats:
    """Share of the samples of each prompt that begin with its true continuation, averaged over models; ``[P]``."""
    arrays = results.prompts
    assert arrays.continued is not None
    rows = [arrays.model_index[m.model] for m in reached]
    return np.mean(arrays.continued[rows] / np.maximum(arrays.num_samples[rows], 1), axis=0)


def _by_arm(results: RunResults, models: Sequence[ReachedModel]) -> tuple[Floats, Floats]:
    """Sums over arms of the share of samples, of the models that saw the prompt's organization; and how many arms."""
    arrays = results.prompts
    total, arms = np.zeros(len(arrays.prompts)), np.zeros(len(arrays.prompts))
    organizations = np.array(arrays.organizations)
    for arm in sorted({m.arm for m in models}):
        shares, times = np.zeros(len(arrays.prompts)), np.zeros(len(arrays.prompts))
        for m in (m for m in models if m.arm == arm):
            counted = np.isin(organizations, m.organizations) & (given(results, [m]) > 0)
            shares += counted * _emitted(results, [m])
            times += counted
        total += shares / np.maximum(times, 1)
        arms += times > 0
    return total, arms
