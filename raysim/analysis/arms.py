"""The arms of a contrast: which models represent a family of settings, and what they emit, prompt by prompt.

An arm is what was done to the organizations, whatever it is called: models are chosen by their family, the fraction of
data that they were trained on, and the arm that their setting belongs to, never by a label.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from raysim.analysis.budgets import SAME_TOKENS
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats

FULL = 1.0
"""Fraction of the data that a setting trains on where it trains on all of it."""
HALF = 0.5

_VARIANTS = {"single": "organizations", "incremental": "orders"}
"""What the variants of a setting differ in."""


def seeds_of(results: RunResults) -> list[int]:
    """The training seeds of a run."""
    return sorted({m.seed for m in results.reached_models})


def is_whole(results: RunResults, reached: ReachedModel) -> bool:
    """Whether a model has seen data of every organization; one of a single setting never needs to."""
    return reached.family == "single" or len(reached.organizations) == len(results.organizations)


def arms_of(
    results: RunResults, family: str, fraction: float | None = FULL, labels: Collection[str] | None = None
) -> dict[str, str]:
    """The arms of a family at a fraction of the data, over all organizations: and the label of a setting of each.

    Args:
        results: the run.
        family: of settings.
        fraction: of the data that they are trained on; None: any part of it, but not all.
        labels: of the settings that were declared for it; None: none were.
    """
    found: dict[str, str] = {}
    for m in results.reached_models:
        at_fraction = m.fraction < FULL if fraction is None else m.fraction == fraction
        declared = labels is None or m.strategy in labels
        if m.family == family and at_fraction and declared and is_whole(results, m):
            found.setdefault(m.arm, m.strategy)
    return found


def final_models(
    results: RunResults, seed: int, family: str, fraction: float | None = FULL, arm: str | None = None
) -> list[ReachedModel]:
    """Final models of a family at one seed, over all organizations; each order of an arm once, whatever its labels.

    Args:
        results: the run.
        seed: of training.
        family: of settings.
        fraction: of the data that they are trained on; None: any part of it, but not all.
        arm: of this alone; None: of all arms.
    """
    unique: dict[tuple[str, str], ReachedModel] = {}
    for m in finals(results.reached_models):
        at_fraction = m.fraction < FULL if fraction is None else m.fraction == fraction
        if m.seed == seed and m.family == family and at_fraction and arm in (None, m.arm) and is_whole(results, m):
            unique.setdefault((m.arm, m.order), m)
    return list(unique.values())


def at_equal_tokens(mix: ReachedModel, singles: Sequence[ReachedModel]) -> list[ReachedModel]:
    """Those of the models of one organization each that were trained on as many tokens as `mix`.

    All of them, where `mix` has what one organization has on average.
    """

    def equal(tokens: float) -> bool:
        return bool(tokens) and abs(mix.tokens / tokens - 1) <= SAME_TOKENS

    if singles and equal(sum(m.tokens for m in singles) / len(singles)):
        return list(singles)
    return [m for m in singles if equal(m.tokens)]


def entered(*sides: Iterable[ReachedModel]) -> str:
    """Which models a contrast rests on, a side after the other: '1 of fedavg; 6 of incremental (6 orders)'."""
    told: list[str] = []
    for side in sides:
        groups: dict[str, list[ReachedModel]] = {}
        for m in side:
            groups.setdefault(m.strategy, []).append(m)
        parts: list[str] = []
        for label, models in groups.items():
            orders, what = len({m.order for m in models}), _VARIANTS.get(models[0].family, "sets of members")
            many = f" ({orders} {what})" * (orders > 1)
            parts.append(f"{len(models)} of {label}{many}")
        told.append(", ".join(parts))
    return " against ".join(told)


def both(*sides: Iterable[ReachedModel]) -> tuple[tuple[ReachedModel, ...], ...]:
    """The models that a contrast rests on, a side after the other, as it keeps them."""
    return tuple(map(tuple, sides))


def against(label: str, other: str, alone: bool) -> str:
    """Names an arm by its label, and by its counterpart's unless there is but one."""
    return label if alone else f"{label} against {other}"


def measured(results: RunResults, reached: Iterable[ReachedModel]) -> list[ReachedModel]:
    """Those of the models whose memorization was measured."""
    return [m for m in reached if m.model in results.prompts.model_index]


def given(results: RunResults, reached: Iterable[ReachedModel]) -> Floats:
    """1.0 for the prompts that all of these models were given, else 0.0; float64 ``[P]``."""
    arrays = results.prompts
    rows = [arrays.num_samples[arrays.model_index[m.model]] > 0 for m in reached]
    return np.all(rows, axis=0).astype(np.float64) if rows else np.zeros(len(arrays.prompts))


def exclusive_lines(results: RunResults, reached: Iterable[ReachedModel], owner: int | None) -> Floats:
    """Exclusive covered lines of one owner (of all: None), averaged over models; float64 ``[P]``."""
    arrays = results.prompts
    rows = [arrays.exclusive[arrays.model_index[m.model]] for m in reached]
    mean = np.mean(rows, axis=0)
    return mean.sum(1) if owner is None else mean[:, owner]


def path_of(results: RunResults, seed: int, arm: str) -> list[ReachedModel]:
    """The models whose memorization was measured along an arm over all organizations, each once, in their order.

    Models that were not trained yet are left out.
    """
    unique: dict[str, ReachedModel] = {}
    for m in measured(results, results.reached_models):
        if m.seed == seed and m.arm == arm and m.moment != "initial" and is_whole(results, m):
            unique.setdefault(m.model, m)
    return sorted(unique.values(), key=lambda m: (m.tokens, m.index))


def equally_trained(
    results: RunResults, seed: int, arm: str, reference: str
) -> tuple[ReachedModel, ReachedModel] | None:
    """The latest models of two arms that have seen as many tokens of each organization."""
    best: tuple[ReachedModel, ReachedModel] | None = None
    others = path_of(results, seed, reference)
    for one in path_of(results, seed, arm):
        for other in others:
            equal = all(
                other.tokens_seen.get(o, 0) and abs(one.tokens_seen.get(o, 0) / other.tokens_seen[o] - 1) <= SAME_TOKENS
                for o in results.organizations
            )
            if equal and (best is None or one.tokens > best[0].tokens):
                best = (one, other)
    return best


def own_owner(results: RunResults) -> list[int]:
    """Position of each prompt's organization among the owners; -1 of a neutral prompt, which is nobody's."""
    return results.prompts.own_owner.tolist()
