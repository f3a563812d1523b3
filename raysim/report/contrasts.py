"""The contrasts behind the findings: what is compared, per seed and paired over the same prompts or files.

Each contrast keeps its items (prompts or validation files) apart, so that a bootstrap can redraw repositories or files.
Orders of incremental training are averaged within a seed. What a contrast needs and the run lacks is named, with the
YAML line that adds it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import log

import numpy as np

from raysim.report.budgets import SAME_TOKENS, compare
from raysim.report.points import Point, finals, plain, settings
from raysim.report.statistics import Floats
from raysim.report.summary import Study

_LICENCE = re.compile(r"licen[cs]e|copyright|spdx", re.IGNORECASE)

F1_SIZE = "full data minus half of it, one organization"
F1_MIX = "a mix of organizations minus one, at equal tokens"
F2_LOSS = "federated minus centralized"
F3_EXPOSURE = "federated minus centralized, at equal exposures"
F3_LOSS = "federated minus centralized, interpolated at equal validation loss"
F4_LAST = "an organization trained last minus the same one not last"
F5_COPIES = "duplicated minus unique continuations, within an organization"
F6_CROSS = "centralized and federated minus incremental, cross-organization clones"
F7_WITHOUT = "federation minus the federation without the owner"

Weights = Floats
"""float64 ``[replicates, items]``: how often each item counts."""


@dataclass(frozen=True)
class Ratio:
    """Sum of numerators over sum of denominators; both float64 ``[items]``. Items with denominator 0 are not in play."""

    numerators: Floats
    denominators: Floats

    @property
    def in_play(self) -> list[bool]:
        return (self.denominators > 0).tolist()

    def __call__(self, weights: Weights) -> Floats:
        below = weights @ self.denominators
        return np.divide(weights @ self.numerators, below, out=np.full(len(below), np.nan), where=below > 0)


@dataclass(frozen=True)
class RiskDifference:
    """Difference of two shares within strata, pooled with the weights of Mantel and Haenszel.

    Attributes:
        outcomes: float64 ``[items]`` in [0, 1].
        exposed, used: bool ``[items]``.
        strata: name of the stratum of each item.
    """

    outcomes: Floats
    exposed: list[bool]
    used: list[bool]
    strata: list[str]

    @property
    def in_play(self) -> list[bool]:
        return self.used

    def __call__(self, weights: Weights) -> Floats:
        above, below = np.zeros(len(weights)), np.zeros(len(weights))
        exposed, used, strata = np.array(self.exposed), np.array(self.used), np.array(self.strata)
        for stratum in sorted(set(self.strata)):
            one, other = used & exposed & (strata == stratum), used & ~exposed & (strata == stratum)
            n_one, n_other = weights[:, one].sum(1), weights[:, other].sum(1)
            both = (n_one > 0) & (n_other > 0)
            safe_one, safe_other = np.where(both, n_one, 1), np.where(both, n_other, 1)
            gap = weights[:, one] @ self.outcomes[one] / safe_one - weights[:, other] @ self.outcomes[other] / safe_other
            weight = np.where(both, n_one * n_other / (safe_one + safe_other), 0.0)
            above, below = above + weight * gap, below + weight
        return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)


@dataclass(frozen=True)
class Contrast:
    """One contrast under one seed, before its numbers are taken.

    Attributes:
        axis: 'prompts' or 'files': what the items of `statistic` are.
        statistic: from weights ``[replicates, items]`` to values ``[replicates]``; all ones give the value itself.
    """

    finding: str
    name: str
    seed: int
    unit: str
    axis: str
    statistic: Ratio | RiskDifference
    note: str = ""


@dataclass
class Found:
    """The contrasts of one finding, and what is missing for its primary one."""

    contrasts: list[Contrast] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def all_contrasts(study: Study) -> dict[str, Found]:
    """The contrasts of F1 to F7 that the tables of a run allow."""
    makers: dict[str, Callable[[Study], Found]] = {
        "F1": size_and_diversity,
        "F2": close_to_centralized,
        "F3": federated_memorizes_less,
        "F4": last_is_memorized_most,
        "F5": duplicates_are_memorized,
        "F6": clones_across,
        "F7": never_shown,
    }
    return {name: make(study) for name, make in makers.items()}


def size_and_diversity(study: Study) -> Found:
    """F1: bits per byte on the joint split. Needs an arm on half the data and a mix at one organization's tokens."""
    found = Found()
    whole = len(study.organizations)
    singles = [label for label in settings(study.points, "single") if "half" not in label]
    halves = [label for label in settings(study.points, "single") if "half" in label]
    mixes = [label for label in settings(study.points, "centralized", whole) if "equal" in label]
    centralized = [label for label in settings(study.points, "centralized", whole) if "equal" not in label]
    if study.losses.empty:
        found.missing.append("measure: {perplexity: {}}")
        return found
    if not halves:
        found.missing.append("strategies: [{single: {label: single_half, fraction: 0.5}}]")
    if not mixes:
        found.missing.append("strategies: [{centralized: {label: centralized_equal, tokens: single}}]")
    unit = "bits per byte"
    for seed in _seeds(study):
        single = _finals(study, seed, plain(singles))
        _add_loss(study, found, "F1", F1_SIZE, seed, unit, single, _finals(study, seed, halves))
        _add_loss(study, found, "F1", F1_MIX, seed, unit, _finals(study, seed, mixes), single)
        joined = _finals(study, seed, plain(centralized))
        name = "centralized minus one organization alone (size and diversity together)"
        _add_loss(study, found, "F1", name, seed, unit, joined, single)
    return found


def close_to_centralized(study: Study) -> Found:
    """F2: log-perplexity on the joint split, federated minus centralized, for all federated settings and each."""
    found = Found()
    federated, centralized = _both_arms(study, found)
    if study.losses.empty:
        found.missing.append("measure: {perplexity: {}}")
    if found.missing:
        return found
    for seed in _seeds(study):
        reference = _finals(study, seed, plain(centralized))
        _add_loss(study, found, "F2", F2_LOSS, seed, "nats", _finals(study, seed, plain(federated)), reference)
        for label in federated:
            name = f"{label} minus centralized"
            _add_loss(study, found, "F2", name, seed, "nats", _finals(study, seed, [label]), reference)
    return found


def federated_memorizes_less(study: Study) -> Found:
    """F3: exclusive covered lines a prompt, at equal exposures and, apart, at equal validation loss."""
    found = Found()
    federated, centralized = _both_arms(study, found)
    if study.prompts.empty:
        found.missing.append("measure: {memorization: {}}")
    if found.missing:
        return found
    at_exposure = False
    for seed in _seeds(study):
        pairs = [_equal_exposures(study, seed, label, plain(centralized)) for label in plain(federated)]
        pairs = [pair for pair in pairs if pair]
        if pairs:
            at_exposure = True
            ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
            _add_lines(study, found, "F3", F3_EXPOSURE, seed, ours, theirs, None)
            for one, other in pairs if len(pairs) > 1 else []:
                name = f"{one.strategy} minus centralized, at equal exposures"
                _add_lines(study, found, "F3", name, seed, [one], [other], None)
        _add_equal_loss(study, found, seed, plain(federated), plain(centralized))
    if not at_exposure:
        found.missing.append("measure: {memorization: {when: every_round}}")
    return found


def last_is_memorized_most(study: Study) -> Found:
    """F4: exclusive covered lines of an owner when it came last minus when it did not, averaged over owners."""
    found = Found()
    cube = study.prompts
    labels = plain(settings(study.points, "incremental"))
    if not labels:
        found.missing.append("strategies: [{incremental: {orders: all}}]")
    if cube.empty:
        found.missing.append("measure: {memorization: {}}")
    if found.missing:
        return found
    for seed in _seeds(study):
        points = [p for p in _finals(study, seed, labels) if p.model in cube.model_index]
        gaps: list[Floats] = []
        used = _given(study, points) * cube.from_training
        for o, owner in enumerate(cube.owners):
            last = [p for p in points if p.last == owner]
            before = [p for p in points if p.last != owner and owner in p.organizations]
            if last and before:
                gaps.append(_lines(study, last, o) - _lines(study, before, o))
        if gaps:
            note = f"averaged over {len(gaps)} owners and {len(points)} orders"
            statistic = Ratio(np.mean(gaps, axis=0) * used, used)
            found.contrasts.append(Contrast("F4", F4_LAST, seed, "lines a prompt", "prompts", statistic, note))
    if not found.contrasts:
        found.missing.append("strategies: [{incremental: {orders: all}}]")
    return found


def duplicates_are_memorized(study: Study) -> Found:
    """F5: share of prompts that any final model continues from the owner's data, duplicated against unique ones."""
    found = Found()
    cube = study.prompts
    if cube.empty:
        found.missing.append("measure: {memorization: {}}")
        return found
    exposed = cube.copies_within > 1
    own = _own_owner(study)
    strata = [f"{organization} {kind}" for organization, kind in zip(cube.organizations, cube.kinds, strict=True)]
    for seed in _seeds(study):
        models = [p for p in finals(study.points) if p.seed == seed and p.model in cube.model_index]
        outcomes, times = np.zeros(len(cube.prompts)), np.zeros(len(cube.prompts))
        for point in models:
            i = cube.model_index[point.model]
            seen = np.array([organization in point.organizations for organization in cube.organizations])
            counted = seen & (cube.num_samples[i] > 0)
            outcomes += counted * (cube.hits[i, np.arange(len(own)), own] > 0)
            times += counted
        used = (times > 0) & cube.eligible & cube.from_training
        statistic = RiskDifference(outcomes / np.maximum(times, 1), exposed.tolist(), used.tolist(), strata)
        if (used & exposed).any() and (used & ~exposed).any():
            note = f"{int((used & exposed).sum())} duplicated of {int(used.sum())} eligible prompts; no dedup arm was run"
            found.contrasts.append(Contrast("F5", F5_COPIES, seed, "share of prompts", "prompts", statistic, note))
    if not found.contrasts:
        found.missing.append("measure: {memorization: {prompts: {function: 100}}}")
    return found


def clones_across(study: Study) -> Found:
    """F6: share of samples that emit a clone which, before training, stood in several organizations."""
    found = Found()
    cube = study.prompts
    federated, centralized = _both_arms(study, found)
    incremental = plain(settings(study.points, "incremental", len(study.organizations)))
    if not incremental:
        found.missing.append("strategies: [{incremental: {orders: all}}]")
    if cube.empty:
        found.missing.append("measure: {memorization: {}}")
    if found.missing:
        return found
    cross = cube.eligible & cube.from_training & (cube.copies_across > 0) & ~_licence_headers(study)
    if not cross.any():
        found.missing.append("measure: {memorization: {prompts: {function: 100}}}")
        return found
    own = _own_owner(study)

    def emitted(points: list[Point]) -> Floats:
        rates = []
        for point in points:
            i = cube.model_index[point.model]
            rates.append(cube.hits[i, np.arange(len(own)), own] / np.maximum(cube.num_samples[i], 1))
        return np.mean(rates, axis=0)

    for seed in _seeds(study):
        arms = [_measured(study, _finals(study, seed, labels)) for labels in (plain(centralized), plain(federated))]
        ordered = _measured(study, _finals(study, seed, incremental))
        if not all(arms) or not ordered:
            continue
        together = [point for arm in arms for point in arm]
        used = _given(study, together + ordered) * cross
        gap = np.mean([emitted(arm) for arm in arms], axis=0) - emitted(ordered)
        note = f"{compare(together, ordered)}; {int(used.sum())} prompts, text that names a licence left out"
        statistic = Ratio(gap * used, used)
        found.contrasts.append(Contrast("F6", F6_CROSS, seed, "share of samples", "prompts", statistic, note))
    return found


def never_shown(study: Study) -> Found:
    """F7: exclusive covered lines of an owner, federation minus the one without that owner; held-out prompts too."""
    found = Found()
    cube = study.prompts
    whole = len(study.organizations)
    federated = plain(settings(study.points, "federated", whole))
    if not federated:
        found.missing.append("strategies: [{fedavg: {rounds: 10}}]")
    if cube.empty:
        found.missing.append("measure: {memorization: {}}")
    if found.missing:
        return found
    held_out = ~cube.from_training
    for seed in _seeds(study):
        full = _measured(study, _finals(study, seed, federated))
        partial = [p for p in _measured(study, _finals(study, seed, None)) if p.strategy in federated]
        gaps, used = [], _given(study, full)
        for o, owner in enumerate(cube.owners):
            without = [p for p in partial if set(p.organizations) == set(study.organizations) - {owner}]
            same = [p for p in full if p.strategy in {other.strategy for other in without}]
            if same:
                gaps.append(_lines(study, same, o) - _lines(study, without, o))
                used = used * _given(study, without)
        unit = "lines a prompt"
        if gaps:
            note = f"averaged over {len(gaps)} of {whole} owners; prompts outside training included"
            statistic = Ratio(np.mean(gaps, axis=0) * used, used)
            found.contrasts.append(Contrast("F7", F7_WITHOUT, seed, unit, "prompts", statistic, note))
            outside = used * held_out
            if outside.any():
                statistic, name = Ratio(np.mean(gaps, axis=0) * outside, outside), f"{F7_WITHOUT}, held-out prompts"
                found.contrasts.append(Contrast("F7", name, seed, unit, "prompts", statistic, note))
        elif full:
            name = "exclusive lines of the federation, nothing subtracted"
            total = np.sum([_lines(study, full, o) for o in range(whole)], axis=0)
            note = "coincidence is not subtracted, so this says that lines are emitted, not why"
            found.contrasts.append(
                Contrast("F7", name, seed, unit, "prompts", Ratio(total * used, used), note),
            )
    if not any(contrast.name == F7_WITHOUT for contrast in found.contrasts):
        found.missing.append(f"strategies: [{{{federated[0]}: {{leave_one_out: true}}}}]")
    return found


def _both_arms(study: Study, found: Found) -> tuple[list[str], list[str]]:
    whole = len(study.organizations)
    federated = settings(study.points, "federated", whole)
    centralized = [label for label in settings(study.points, "centralized", whole) if "equal" not in label]
    if not federated:
        found.missing.append("strategies: [{fedavg: {rounds: 10}}]")
    if not centralized:
        found.missing.append("strategies: [centralized]")
    return federated, centralized


def _seeds(study: Study) -> list[int]:
    return sorted({p.seed for p in study.points})


def _finals(study: Study, seed: int, labels: Iterable[str] | None) -> list[Point]:
    """Final points of these settings; of federated and centralized ones only those of all organizations."""
    chosen = None if labels is None else set(labels)
    whole = len(study.organizations)
    return [
        p
        for p in finals(study.points)
        if p.seed == seed
        and (chosen is None or (p.strategy in chosen and (p.family == "single" or len(p.organizations) == whole)))
    ]


def _measured(study: Study, points: list[Point]) -> list[Point]:
    return [p for p in points if p.model in study.prompts.model_index]


def _given(study: Study, points: list[Point]) -> Floats:
    """1.0 for the prompts that all of these models were given, else 0.0; float64 ``[P]``."""
    cube = study.prompts
    rows = [cube.num_samples[cube.model_index[p.model]] > 0 for p in points]
    return np.all(rows, axis=0).astype(np.float64) if rows else np.zeros(len(cube.prompts))


def _lines(study: Study, points: list[Point], owner: int | None) -> Floats:
    """Exclusive covered lines of one owner (of all: None), averaged over models; float64 ``[P]``."""
    cube = study.prompts
    rows = [cube.exclusive[cube.model_index[p.model]] for p in points]
    mean = np.mean(rows, axis=0)
    return mean.sum(1) if owner is None else mean[:, owner]


def _add_lines(
    study: Study,
    found: Found,
    finding: str,
    name: str,
    seed: int,
    ours: list[Point],
    theirs: list[Point],
    owner: int | None,
) -> None:
    used = _given(study, ours + theirs) * study.prompts.from_training
    statistic = Ratio((_lines(study, ours, owner) - _lines(study, theirs, owner)) * used, used)
    note = compare(ours, theirs)
    found.contrasts.append(Contrast(finding, name, seed, "lines a prompt", "prompts", statistic, note))


def _add_loss(
    study: Study, found: Found, finding: str, name: str, seed: int, unit: str, ours: list[Point], theirs: list[Point]
) -> None:
    """A difference of losses over the files on which all of these models were evaluated; nothing without both arms."""
    cube = study.losses
    ours, theirs = ([p for p in arm if p.model in cube.model_index] for arm in (ours, theirs))
    if not ours or not theirs:
        return
    one, other = ([cube.model_index[p.model] for p in arm] for arm in (ours, theirs))
    used = np.all(cube.tokens[one + other] > 0, axis=0).astype(np.float64)
    gap = cube.nats[one].mean(0) - cube.nats[other].mean(0)
    if unit == "nats":
        statistic = Ratio(gap * used, cube.tokens[one[0]] * used)
    else:
        statistic = Ratio(gap * used / log(2), cube.bytes[one[0]] * used)
    found.contrasts.append(Contrast(finding, name, seed, unit, "files", statistic, compare(ours, theirs)))


def _equal_exposures(study: Study, seed: int, label: str, centralized: list[str]) -> tuple[Point, Point] | None:
    """The latest federated and centralized models that have seen as many tokens of each organization."""
    measured = _measured(study, [p for p in study.points if p.seed == seed])
    best: tuple[Point, Point] | None = None
    for one in (p for p in measured if p.strategy == label and len(p.organizations) == len(study.organizations)):
        for other in (p for p in measured if p.strategy in centralized):
            equal = all(
                other.tokens_seen.get(o, 0) and abs(one.tokens_seen.get(o, 0) / other.tokens_seen[o] - 1) <= SAME_TOKENS
                for o in study.organizations
            )
            if equal and (best is None or one.tokens > best[0].tokens):
                best = (one, other)
    return best


def _add_equal_loss(study: Study, found: Found, seed: int, federated: list[str], centralized: list[str]) -> None:
    """Exclusive lines where the validation losses meet: along the rounds, or else along the epochs of centralized."""
    cube = study.prompts
    points = _measured(study, [p for p in study.points if p.seed == seed and len(p.organizations) > 1])
    theirs = [p for p in points if p.strategy in centralized]
    gaps: list[Floats] = []
    used = np.ones(len(cube.prompts)) * cube.from_training
    for label in federated:
        ours = [p for p in points if p.strategy == label and len(p.organizations) == len(study.organizations)]
        for path, fixed, sign in ((ours, theirs, 1.0), (theirs, ours, -1.0)):
            end = next((p for p in fixed if p.final), None)
            met = _at_loss(study, path, end) if end else None
            if met and end:
                before, after, share = met
                between = (1 - share) * _lines(study, [before], None) + share * _lines(study, [after], None)
                gaps.append(sign * (between - _lines(study, [end], None)))
                used = used * _given(study, [before, after, end])
                break
    if gaps:
        statistic = Ratio(np.mean(gaps, axis=0) * used, used)
        note = f"{len(gaps)} of {len(federated)} federated settings meet centralized in validation loss"
        found.contrasts.append(Contrast("F3", F3_LOSS, seed, "lines a prompt", "prompts", statistic, note))


def _at_loss(study: Study, path: list[Point], end: Point) -> tuple[Point, Point, float] | None:
    """The two neighbours on a path between which its joint loss crosses that of `end`, and how far between them."""
    target = study.measures(end.model).get(("log_perplexity", ""))
    known = [(p, study.measures(p.model).get(("log_perplexity", ""))) for p in sorted(path, key=lambda p: p.index)]
    losses = [(p, loss) for p, loss in known if loss is not None]
    if target is None:
        return None
    for (before, high), (after, low) in zip(losses, losses[1:], strict=False):
        if before.model != after.model and min(high, low) <= target <= max(high, low) and high != low:
            return before, after, (high - target) / (high - low)
    return None


def _own_owner(study: Study) -> list[int]:
    """Position of each prompt's organization among the owners."""
    return [study.prompts.owners.index(organization) for organization in study.prompts.organizations]


def _licence_headers(study: Study) -> np.ndarray:
    """bool ``[P]``: prompts that led some model into text that names a licence or a copyright."""
    matches = study.run.table("matches").select(["prompt", "text"])
    headers = {
        prompt
        for prompt, text in zip(matches.column("prompt").to_pylist(), matches.column("text").to_pylist(), strict=True)
        if _LICENCE.search(text or "")
    }
    return np.array([prompt in headers for prompt in study.prompts.prompts], dtype=np.bool_)
