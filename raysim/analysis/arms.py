"""The arms of a contrast: which models represent a family of settings, and what they emit, prompt by prompt.

An arm is what was done to the organizations, whatever it is called: models are chosen by their family, the fraction of
data that they were trained on, and the arm that their setting belongs to, never by a label.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

import numpy as np
import pyarrow.compute as pc

from raysim.analysis.arrays import Mask
from raysim.analysis.budgets import SAME_TOKENS
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats

FULL = 1.0
"""Fraction of the data that a setting trains on where it trains on all of it."""
HALF = 0.5

_LICENCE = "licen[cs]e|copyright|spdx"


def seeds_of(results: RunResults) -> list[int]:
    """The training seeds of a run."""
    return sorted({m.seed for m in results.reached_models})


def is_whole(results: RunResults, reached: ReachedModel) -> bool:
    """Whether a model has seen data of every organization; one of a single setting never needs to."""
    return reached.family == "single" or len(reached.organizations) == len(results.organizations)


def arms_of(results: RunResults, family: str, fraction: float = FULL) -> dict[str, str]:
    """The arms of a family at a fraction of the data, over all organizations: and the label of a setting of each."""
    found: dict[str, str] = {}
    for m in results.reached_models:
        if m.family == family and m.fraction == fraction and is_whole(results, m):
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


def several(results: RunResults, *sides: Iterable[ReachedModel]) -> str:
    """Names the settings on a side where one strategy has several arms there, and so weighs more than another."""
    notes: list[str] = []
    for side in sides:
        labels: dict[str, str] = {}
        families: dict[str, None] = {}
        for m in side:
            labels.setdefault(m.arm, m.strategy)
            families.setdefault(m.family)
        strategies = [results.strategy_of(label) for label in labels.values()]
        if len(set(strategies)) < len(strategies):
            notes.append(f"{' and '.join(families)}: the mean of {', '.join(labels.values())}")
    return "; ".join(notes)


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


def equally_trained(
    results: RunResults, seed: int, arm: str, others: Collection[str]
) -> tuple[ReachedModel, ReachedModel] | None:
    """The latest models of `arm` and of one of the `others` that have seen as many tokens of each organization."""
    probed = measured(results, [m for m in results.reached_models if m.seed == seed])
    best: tuple[ReachedModel, ReachedModel] | None = None
    for one in (m for m in probed if m.arm == arm and is_whole(results, m)):
        for other in (m for m in probed if m.arm in others):
            equal = all(
                other.tokens_seen.get(o, 0) and abs(one.tokens_seen.get(o, 0) / other.tokens_seen[o] - 1) <= SAME_TOKENS
                for o in results.organizations
            )
            if equal and (best is None or one.tokens > best[0].tokens):
                best = (one, other)
    return best


def at_loss(
    results: RunResults, path: Iterable[ReachedModel], end: ReachedModel
) -> tuple[ReachedModel, ReachedModel, float] | None:
    """The two neighbours on a path between which its joint loss crosses that of `end`, and how far between them."""
    target = results.measures(end.model).get(("log_perplexity", ""))
    known = [(m, results.measures(m.model).get(("log_perplexity", ""))) for m in sorted(path, key=lambda m: m.index)]
    losses = [(m, loss) for m, loss in known if loss is not None]
    if target is None:
        return None
    for (before, high), (after, low) in pairwise(losses):
        if before.model != after.model and min(high, low) <= target <= max(high, low) and high != low:
            return before, after, (high - target) / (high - low)
    return None


def own_owner(results: RunResults) -> list[int]:
    """Position of each prompt's organization among the owners; -1 of a neutral prompt, which is nobody's."""
    return results.prompts.own_owner.tolist()


def licence_headers(results: RunResults) -> Mask:
    """bool ``[P]``: prompts that led some model into text that names a licence or a copyright."""
    matches = results.run.table("matches").select(["prompt", "text"])
    named = pc.match_substring_regex(matches.column("text"), _LICENCE, ignore_case=True)  # type: ignore[attr-defined]
    headers = set(matches.filter(named).column("prompt").unique().to_pylist())
    return np.array([prompt in headers for prompt in results.prompts.prompts], dtype=np.bool_)
