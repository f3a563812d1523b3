"""The contrasts behind the findings: what is compared, per seed and paired over the same prompts or files.

Each contrast keeps its items (prompts or validation files) apart, so that a bootstrap can redraw repositories or files.
Orders of incremental training are averaged within a seed. What a contrast needs and the run lacks is named, with the
YAML line that adds it.
"""

from collections.abc import Callable
from itertools import product
from math import log

import numpy as np

from raysim.analysis.arms import (
    FULL,
    HALF,
    arms_of,
    at_equal_tokens,
    at_loss,
    equally_trained,
    exclusive_lines,
    final_models,
    given,
    is_whole,
    licence_headers,
    measured,
    own_owner,
    seeds_of,
    several,
)
from raysim.analysis.budgets import compare
from raysim.analysis.paired import Contrast, Found, Ratio, RiskDifference
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats

F1_SIZE = "full data minus half of it, one organization"
F1_MIX = "a mix of organizations minus one, at equal tokens"
F2_LOSS = "federated minus centralized"
F3_EXPOSURE = "federated minus centralized, at equal exposures"
F3_LOSS = "federated minus centralized, interpolated at equal validation loss"
F4_LAST = "an organization trained last minus the same one not last"
F5_COPIES = "duplicated minus unique continuations, within an organization"
F6_CROSS = "centralized and federated minus incremental, cross-organization clones"
F7_WITHOUT = "federation minus the federation without the owner"


TO_ADD: dict[str, str] = {
    "perplexity": "measure: {perplexity: {}}",
    "memorization": "measure: {memorization: {}}",
    "prompts": "measure: {memorization: {prompts: {function: 100}}}",
    "rounds": "measure: {memorization: {when: every_round}}",
    "centralized": "strategies: [centralized]",
    "incremental": "strategies: [{incremental: {orders: all}}]",
    "federated": "strategies: [{fedavg: {rounds: 10}}]",
    "single": "strategies: [single]",
    "half": "strategies: [{single: {label: single_half, fraction: 0.5}}]",
    "mix": "strategies: [{centralized: {label: centralized_equal, fraction: 0.33}}], one over the organizations",
    "without": "strategies: [{fedavg: {leave_one_out: true}}]",
}
"""The line of the experiment that adds what a contrast lacks. Labels are free: the arms of F1 are known by their family
and fraction and by the tokens that they saw, a federation without one organization by its members."""


def all_contrasts(results: RunResults) -> dict[str, Found]:
    """The contrasts of F1 to F7 that the tables of a run allow."""
    makers: dict[str, Callable[[RunResults], Found]] = {
        "F1": size_and_diversity,
        "F2": close_to_centralized,
        "F3": federated_memorizes_less,
        "F4": last_is_memorized_most,
        "F5": duplicates_are_memorized,
        "F6": clones_across,
        "F7": never_shown,
    }
    return {name: make(results) for name, make in makers.items()}


def size_and_diversity(results: RunResults) -> Found:
    """F1: bits per byte on the joint split.

    Needs single settings on all and on half of the data, and a centralized one on a part of it that is as many tokens
    as one organization has.
    """
    found = Found()
    if results.losses.empty:
        found.missing.append(TO_ADD["perplexity"])
        return found
    if not arms_of(results, "single"):
        found.missing.append(TO_ADD["single"])
    if not arms_of(results, "single", HALF):
        found.missing.append(TO_ADD["half"])
    unit, mixed = "bits per byte", False
    for seed in seeds_of(results):
        single, halves = (final_models(results, seed, "single", fraction) for fraction in (FULL, HALF))
        _add_loss(results, found, "F1", F1_SIZE, seed, unit, single, halves)
        alike = {m.model: at_equal_tokens(m, single) for m in final_models(results, seed, "centralized", None)}
        mixes = [m for m in final_models(results, seed, "centralized", None) if alike[m.model]]
        matched = {m.model for mix in mixes for m in alike[mix.model]}
        mixed |= bool(mixes)
        _add_loss(results, found, "F1", F1_MIX, seed, unit, mixes, [m for m in single if m.model in matched])
        name = "centralized minus one organization alone (size and diversity together)"
        _add_loss(results, found, "F1", name, seed, unit, final_models(results, seed, "centralized"), single)
    if not mixed:
        found.missing.append(TO_ADD["mix"])
    return found


def close_to_centralized(results: RunResults) -> Found:
    """F2: log-perplexity on the joint split, federated minus centralized, for all federated settings and each."""
    found = Found()
    federated, _ = _both_arms(results, found)
    if results.losses.empty:
        found.missing.append(TO_ADD["perplexity"])
    if found.missing:
        return found
    for seed in seeds_of(results):
        ours, reference = (final_models(results, seed, family) for family in ("federated", "centralized"))
        _add_loss(results, found, "F2", F2_LOSS, seed, "nats", ours, reference)
        for arm, label in federated.items():
            name = f"{label} minus centralized"
            _add_loss(results, found, "F2", name, seed, "nats", [m for m in ours if m.arm == arm], reference)
    return found


def federated_memorizes_less(results: RunResults) -> Found:
    """F3: exclusive covered lines a prompt, at equal exposures and, apart, at equal validation loss."""
    found = Found()
    federated, centralized = _both_arms(results, found)
    if results.prompts.empty:
        found.missing.append(TO_ADD["memorization"])
    if found.missing:
        return found
    at_exposure = False
    for seed in seeds_of(results):
        pairs = [equally_trained(results, seed, arm, centralized) for arm in federated]
        pairs = [pair for pair in pairs if pair]
        if pairs:
            at_exposure = True
            ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
            _add_lines(results, found, "F3", F3_EXPOSURE, seed, ours, theirs, None)
            for one, other in pairs if len(pairs) > 1 else []:
                name = f"{federated[one.arm]} minus centralized, at equal exposures"
                _add_lines(results, found, "F3", name, seed, [one], [other], None)
        _add_equal_loss(results, found, seed, list(federated), list(centralized))
    if not at_exposure:
        found.missing.append(TO_ADD["rounds"])
    return found


def last_is_memorized_most(results: RunResults) -> Found:
    """F4: exclusive covered lines of an owner when it came last minus when it did not, averaged over owners."""
    found = Found()
    arrays = results.prompts
    if not arms_of(results, "incremental"):
        found.missing.append(TO_ADD["incremental"])
    if arrays.empty:
        found.missing.append(TO_ADD["memorization"])
    if found.missing:
        return found
    for seed in seeds_of(results):
        reached = measured(results, final_models(results, seed, "incremental"))
        gaps: list[Floats] = []
        used = given(results, reached) * arrays.from_training
        for o, owner in enumerate(arrays.owners):
            last = [m for m in reached if m.last == owner]
            before = [m for m in reached if m.last != owner and owner in m.organizations]
            if last and before:
                gaps.append(exclusive_lines(results, last, o) - exclusive_lines(results, before, o))
        if gaps:
            note = _joined(f"averaged over {len(gaps)} owners and {len(reached)} orders", several(results, reached))
            statistic = Ratio(np.mean(gaps, axis=0) * used, used)
            found.contrasts.append(Contrast("F4", F4_LAST, seed, "lines a prompt", "prompts", statistic, note))
    if not found.contrasts:
        found.missing.append(TO_ADD["incremental"])
    return found


def duplicates_are_memorized(results: RunResults) -> Found:
    """F5: share of prompts that any final model continues from the owner's data, duplicated against unique ones."""
    found = Found()
    arrays = results.prompts
    if arrays.empty:
        found.missing.append(TO_ADD["memorization"])
        return found
    exposed = arrays.copies_within > 0
    own = own_owner(results)
    strata = [f"{organization} {kind}" for organization, kind in zip(arrays.organizations, arrays.kinds, strict=True)]
    for seed in seeds_of(results):
        models = measured(results, [m for m in finals(results.reached_models) if m.seed == seed])
        outcomes, times = np.zeros(len(arrays.prompts)), np.zeros(len(arrays.prompts))
        for reached in models:
            i = arrays.model_index[reached.model]
            seen = np.array([organization in reached.organizations for organization in arrays.organizations])
            counted = seen & (arrays.num_samples[i] > 0)
            outcomes += counted * (arrays.hits[i, np.arange(len(own)), own] > 0)
            times += counted
        used = (times > 0) & arrays.eligible & arrays.from_training
        statistic = RiskDifference(outcomes / np.maximum(times, 1), exposed.tolist(), used.tolist(), strata)
        if (used & exposed).any() and (used & ~exposed).any():
            duplicated, eligible = int((used & exposed).sum()), int(used.sum())
            note = f"{duplicated} duplicated of {eligible} eligible prompts; no dedup arm was run"
            found.contrasts.append(Contrast("F5", F5_COPIES, seed, "share of prompts", "prompts", statistic, note))
    if not found.contrasts:
        found.missing.append(TO_ADD["prompts"])
    return found


def clones_across(results: RunResults) -> Found:
    """F6: share of samples that emit a clone which, before training, several organizations had."""
    found = Found()
    arrays = results.prompts
    _both_arms(results, found)
    if not arms_of(results, "incremental"):
        found.missing.append(TO_ADD["incremental"])
    if arrays.empty:
        found.missing.append(TO_ADD["memorization"])
    if found.missing:
        return found
    cross = arrays.eligible & arrays.from_training & (arrays.copies_across > 0) & ~licence_headers(results)
    if not cross.any():
        found.missing.append(TO_ADD["prompts"])
        return found
    own = own_owner(results)

    def emitted(reached: list[ReachedModel]) -> Floats:
        rates = []
        for m in reached:
            i = arrays.model_index[m.model]
            rates.append(arrays.hits[i, np.arange(len(own)), own] / np.maximum(arrays.num_samples[i], 1))
        return np.mean(rates, axis=0)

    for seed in seeds_of(results):
        *sides, ordered = (
            measured(results, final_models(results, seed, family))
            for family in ("centralized", "federated", "incremental")
        )
        if not all(sides) or not ordered:
            continue
        together = [m for side in sides for m in side]
        used = given(results, together + ordered) * cross
        gap = np.mean([emitted(side) for side in sides], axis=0) - emitted(ordered)
        prompts = f"{int(used.sum())} prompts, text that names a licence left out"
        note = _joined(compare(together, ordered), prompts, several(results, *sides, ordered))
        statistic = Ratio(gap * used, used)
        found.contrasts.append(Contrast("F6", F6_CROSS, seed, "share of samples", "prompts", statistic, note))
    return found


def never_shown(results: RunResults) -> Found:
    """F7: exclusive covered lines of an owner, federation minus the one without that owner; held-out prompts too."""
    found = Found()
    arrays = results.prompts
    whole = len(results.organizations)
    federated = arms_of(results, "federated")
    if not federated:
        found.missing.append(TO_ADD["federated"])
    if arrays.empty:
        found.missing.append(TO_ADD["memorization"])
    if found.missing:
        return found
    held_out = ~arrays.from_training
    for seed in seeds_of(results):
        full = measured(results, final_models(results, seed, "federated"))
        ends = [m for m in finals(results.reached_models) if m.seed == seed and m.arm in federated]
        partial = measured(results, {(m.arm, m.members): m for m in ends}.values())
        gaps, used = [], given(results, full)
        for o, owner in enumerate(arrays.owners):
            without = [m for m in partial if set(m.organizations) == set(results.organizations) - {owner}]
            same = [m for m in full if m.arm in {other.arm for other in without}]
            if same:
                gaps.append(exclusive_lines(results, same, o) - exclusive_lines(results, without, o))
                used = used * given(results, without)
        unit = "lines a prompt"
        if gaps:
            owners = f"averaged over {len(gaps)} of {whole} owners; prompts outside training included"
            note = _joined(owners, several(results, full))
            statistic = Ratio(np.mean(gaps, axis=0) * used, used)
            found.contrasts.append(Contrast("F7", F7_WITHOUT, seed, unit, "prompts", statistic, note))
            outside = used * held_out
            if outside.any():
                statistic, name = Ratio(np.mean(gaps, axis=0) * outside, outside), f"{F7_WITHOUT}, held-out prompts"
                found.contrasts.append(Contrast("F7", name, seed, unit, "prompts", statistic, note))
        elif full:
            name = "exclusive lines of the federation, nothing subtracted"
            total = np.sum([exclusive_lines(results, full, o) for o in range(whole)], axis=0)
            why = "coincidence is not subtracted, so this says that lines are emitted, not why"
            note = _joined(why, several(results, full))
            found.contrasts.append(
                Contrast("F7", name, seed, unit, "prompts", Ratio(total * used, used), note),
            )
    if not any(contrast.name == F7_WITHOUT for contrast in found.contrasts):
        found.missing.append(TO_ADD["without"])
    return found


def _both_arms(results: RunResults, found: Found) -> tuple[dict[str, str], dict[str, str]]:
    """The federated and the centralized arms on all data; what is not there is noted as missing."""
    federated, centralized = (arms_of(results, family) for family in ("federated", "centralized"))
    if not federated:
        found.missing.append(TO_ADD["federated"])
    if not centralized:
        found.missing.append(TO_ADD["centralized"])
    return federated, centralized


def _add_lines(
    results: RunResults,
    found: Found,
    finding: str,
    name: str,
    seed: int,
    ours: list[ReachedModel],
    theirs: list[ReachedModel],
    owner: int | None,
) -> None:
    used = given(results, ours + theirs) * results.prompts.from_training
    statistic = Ratio((exclusive_lines(results, ours, owner) - exclusive_lines(results, theirs, owner)) * used, used)
    note = _joined(compare(ours, theirs), several(results, ours, theirs))
    found.contrasts.append(Contrast(finding, name, seed, "lines a prompt", "prompts", statistic, note))


def _add_loss(
    results: RunResults,
    found: Found,
    finding: str,
    name: str,
    seed: int,
    unit: str,
    ours: list[ReachedModel],
    theirs: list[ReachedModel],
) -> None:
    """A difference of losses over the files on which all of these models were evaluated; nothing without both arms."""
    arrays = results.losses
    ours, theirs = ([m for m in side if m.model in arrays.model_index] for side in (ours, theirs))
    if not ours or not theirs:
        return
    one, other = ([arrays.model_index[m.model] for m in side] for side in (ours, theirs))
    used = np.all(arrays.tokens[one + other] > 0, axis=0).astype(np.float64)
    gap = arrays.nats[one].mean(0) - arrays.nats[other].mean(0)
    if unit == "nats":
        statistic = Ratio(gap * used, arrays.tokens[one[0]] * used)
    else:
        statistic = Ratio(gap * used / log(2), arrays.bytes[one[0]] * used)
    note = _joined(compare(ours, theirs), several(results, ours, theirs))
    found.contrasts.append(Contrast(finding, name, seed, unit, "files", statistic, note))


def _add_equal_loss(results: RunResults, found: Found, seed: int, federated: list[str], centralized: list[str]) -> None:
    """Exclusive lines where the validation losses meet: along the rounds, or else along the epochs of centralized."""
    arrays = results.prompts
    at_seed = measured(results, [m for m in results.reached_models if m.seed == seed and len(m.organizations) > 1])
    paths = {arm: [m for m in at_seed if m.arm == arm and is_whole(results, m)] for arm in federated}
    references = [[m for m in at_seed if m.arm == arm] for arm in centralized]
    gaps: list[Floats] = []
    meeting: set[str] = set()
    used = np.ones(len(arrays.prompts)) * arrays.from_training
    for (arm, ours), theirs in product(paths.items(), references):
        for path, fixed, sign in ((ours, theirs, 1.0), (theirs, ours, -1.0)):
            end = next((m for m in fixed if m.final), None)
            met = at_loss(results, path, end) if end else None
            if met and end:
                before, after, share = met
                between = (1 - share) * exclusive_lines(results, [before], None) + share * exclusive_lines(
                    results, [after], None
                )
                gaps.append(sign * (between - exclusive_lines(results, [end], None)))
                used = used * given(results, [before, after, end])
                meeting.add(arm)
                break
    if gaps:
        statistic = Ratio(np.mean(gaps, axis=0) * used, used)
        met_by = f"{len(meeting)} of {len(federated)} federated settings meet centralized in validation loss"
        sides = ([m for path in group for m in path] for group in (paths.values(), references))
        note = _joined(met_by, several(results, *sides))
        found.contrasts.append(Contrast("F3", F3_LOSS, seed, "lines a prompt", "prompts", statistic, note))


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
