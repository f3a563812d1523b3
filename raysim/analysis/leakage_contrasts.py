"""Contrasts of exclusive covered lines: F3 (federated against centralized), F4 (who came last), F7 (never shown)."""

from itertools import product

import numpy as np

from raysim.analysis.arms import (
    FULL,
    against,
    arms_of,
    both,
    entered,
    equally_trained,
    exclusive_lines,
    final_models,
    given,
    measured,
    path_of,
    seeds_of,
)
from raysim.analysis.best_checkpoints import best_on_validation
from raysim.analysis.budgets import TrainingLoss, compare
from raysim.analysis.equal_loss import Meeting, PathPoint, meet
from raysim.analysis.lines_to_add import TO_ADD
from raysim.analysis.paired import Contrast, Found, Ratio
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats

F3_LOSS = "federated minus centralized, at equal training loss"
F3_EXPOSURE = "federated minus centralized, at equal exposures"
F3_BEST = "federated minus centralized, each at its best validation loss"
F4_LAST = "an organization trained last minus the same one not last, on its own prompts"
F7_WITHOUT = "federation minus the federation without the owner, summed over owners"
F7_ALL = "exclusive lines of the federation, nothing subtracted"

F3_PRIMARIES = {"equal_training_loss": F3_LOSS, "equal_exposures": F3_EXPOSURE, "best_validation": F3_BEST}
"""By the setting `findings.F3.primary`."""

UNIT = "lines a prompt"


def federated_memorizes_less(results: RunResults) -> Found:
    """F3: exclusive covered lines a prompt, at equal training loss, at equal exposures, and each at its best."""
    found, settings = Found(), results.findings_settings.F3
    federated = arms_of(results, "federated", FULL, settings.arms)
    centralized = arms_of(results, "centralized", FULL, settings.references)
    for name, arms in (("federated", federated), ("centralized", centralized)):
        if not arms:
            found.lack(TO_ADD[name])
    if results.prompts.empty:
        found.lack(TO_ADD["memorization"])
    if found.missing:
        return found
    apart: dict[str, str] = {}
    for seed, (arm, label), (reference, other) in product(seeds_of(results), federated.items(), centralized.items()):
        name = against(label, other, len(centralized) == 1)
        ours, theirs = path_of(results, seed, arm), path_of(results, seed, reference)
        if not ours or not theirs:
            continue
        if pair := equally_trained(results, seed, arm, reference):
            _add(results, found, (F3_EXPOSURE, name, seed), *pair)
        best = best_on_validation(results, ours), best_on_validation(results, theirs)
        if best[0] and best[1]:
            _add(results, found, (F3_BEST, name, seed), best[0], best[1], on_test(results, best[0], best[1]))
        met = meet(ours, theirs, results.training_loss)
        if isinstance(met, Meeting):
            _add_meeting(results, found, (F3_LOSS, name, seed), met)
        elif met:
            apart.setdefault(name, met)
    primary = F3_PRIMARIES[settings.primary]
    compared = {contrast.arm for contrast in found.contrasts if contrast.name == primary}
    if primary == F3_LOSS:
        found.incomparable = {name: why for name, why in apart.items() if name not in compared}
    if not compared and not found.incomparable:
        lacks = {F3_LOSS: "training loss", F3_EXPOSURE: "rounds", F3_BEST: "perplexity"}
        found.lack(TO_ADD[lacks[primary]])
    return found


def last_is_memorized_most(results: RunResults) -> Found:
    """F4: exclusive covered lines of an owner on its own prompts, when it came last minus when it did not."""
    found, arrays = Found(), results.prompts
    arms = arms_of(results, "incremental", FULL, results.findings_settings.F4.arms)
    if not arms:
        found.lack(TO_ADD["incremental"])
    if arrays.empty:
        found.lack(TO_ADD["memorization"])
    if found.missing:
        return found
    for seed, (arm, label) in product(seeds_of(results), arms.items()):
        reached = measured(results, final_models(results, seed, "incremental", arm=arm))
        gap, used, owners = np.zeros(len(arrays.prompts)), np.zeros(len(arrays.prompts)), 0
        known = given(results, reached) * arrays.from_training
        for o, owner in enumerate(arrays.owners):
            last = [m for m in reached if m.last == owner]
            before = [m for m in reached if m.last != owner and owner in m.organizations]
            if last and before:
                own = known * arrays.prompted[:, o]
                gap += own * (exclusive_lines(results, last, o) - exclusive_lines(results, before, o))
                used += own
                owners += 1
        if owners:
            note = f"own prompts of {owners} owners, over {len(reached)} orders"
            statistic = Ratio(gap, used)
            found.contrasts.append(
                Contrast("F4", F4_LAST, seed, UNIT, "prompts", statistic, note, label, entered(reached), both(reached))
            )
    if not found.contrasts:
        found.lack(TO_ADD["incremental"])
    return found


def never_shown(results: RunResults) -> Found:
    """F7: exclusive covered lines of an owner, federation minus the one without that owner; held-out prompts too."""
    found, arrays = Found(), results.prompts
    federated = arms_of(results, "federated", FULL, results.findings_settings.F7.arms)
    if not federated:
        found.lack(TO_ADD["federated"])
    if arrays.empty:
        found.lack(TO_ADD["memorization"])
    if found.missing:
        return found
    ends = [m for m in finals(results.reached_models) if m.fraction == FULL]
    for seed, (arm, label) in product(seeds_of(results), federated.items()):
        full = measured(results, final_models(results, seed, "federated", arm=arm))
        partial = measured(results, {m.members: m for m in ends if m.seed == seed and m.arm == arm}.values())
        if full:
            _add_never_shown(results, found, (label, seed), full, partial)
    if not any(contrast.name == F7_WITHOUT for contrast in found.contrasts):
        found.lack(TO_ADD["without"])
    return found


def _add_never_shown(
    results: RunResults, found: Found, named: tuple[str, int], full: list[ReachedModel], partial: list[ReachedModel]
) -> None:
    arrays, (arm, seed) = results.prompts, named
    gap, used, left_out = np.zeros(len(arrays.prompts)), given(results, full), []
    for o, owner in enumerate(arrays.owners):
        without = [m for m in partial if set(m.organizations) == set(results.organizations) - {owner}]
        if without:
            gap += exclusive_lines(results, full, o) - exclusive_lines(results, without, o)
            used = used * given(results, without)
            left_out += without

    sides = both(full, left_out) if left_out else both(full)

    def add(name: str, values: Floats, counted: Floats, note: str) -> None:
        statistic = Ratio(values * counted, counted)
        models = entered(*sides)
        found.contrasts.append(Contrast("F7", name, seed, UNIT, "prompts", statistic, note, arm, models, sides))

    if not left_out:
        why = "coincidence is not subtracted, so this says that lines are emitted, not why"
        add(F7_ALL, exclusive_lines(results, full, None), used, why)
        return
    note = f"{len(left_out)} of {len(results.organizations)} owners; prompts outside training included"
    add(F7_WITHOUT, gap, used, note)
    outside = used * ~arrays.from_training
    if outside.any():
        add(f"{F7_WITHOUT}, held-out prompts", gap, outside, note)


def on_test(results: RunResults, *chosen: ReachedModel) -> str:
    """The losses on the test split of models that were chosen on validation, for a note; '' without such a split."""
    bits = [results.measures(m.model).get(("test_bits_per_byte", "")) for m in chosen]
    if any(value is None for value in bits):
        return ""
    return f"; chosen on validation, on the test split {' and '.join(f'{value:.3f}' for value in bits)} bits per byte"


def _add(
    results: RunResults,
    found: Found,
    named: tuple[str, str, int],
    one: ReachedModel,
    other: ReachedModel,
    more: str = "",
) -> None:
    ours, theirs = PathPoint(one, one, 1.0, 0.0), PathPoint(other, other, 1.0, 0.0)
    where = f"{one.strategy} {ours.where}, {other.strategy} {theirs.where}{more}"
    _add_points(results, found, named, Meeting(ours, theirs), where, results.training_loss)


def _add_meeting(results: RunResults, found: Found, named: tuple[str, str, int], met: Meeting) -> None:
    # What lies between two models has their loss in common, not the one of either.
    _add_points(results, found, named, met, met.note, lambda _: met.ours.loss)


def _add_points(
    results: RunResults,
    found: Found,
    named: tuple[str, str, int],
    met: Meeting,
    where: str,
    training_loss: TrainingLoss,
) -> None:
    def lines(point: PathPoint) -> Floats:
        before, after = (exclusive_lines(results, [m], None) for m in (point.before, point.after))
        return (1 - point.share) * before + point.share * after

    used = given(results, met.models) * results.prompts.from_training
    statistic = Ratio((lines(met.ours) - lines(met.theirs)) * used, used)
    name, arm, seed = named
    note = f"{where}; {compare([met.ours.after], [met.theirs.after], training_loss)}"
    sides = both([met.ours.after], [met.theirs.after])
    models = entered(*sides)
    found.contrasts.append(Contrast("F3", name, seed, UNIT, "prompts", statistic, note, arm, models, sides))
