"""The arms of a contrast: which models stand for a setting, and what they emit, prompt by prompt."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pyarrow.compute as pc

from raysim.analysis.arrays import Mask
from raysim.analysis.budgets import SAME_TOKENS
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats

_LICENCE = "licen[cs]e|copyright|spdx"


def seeds_of(results: RunResults) -> list[int]:
    """The training seeds of a run."""
    return sorted({p.seed for p in results.points})


def final_points(results: RunResults, seed: int, labels: Iterable[str] | None) -> list[ReachedModel]:
    """Final points of these settings; of federated and centralized ones only those of all organizations."""
    chosen = None if labels is None else set(labels)
    whole = len(results.organizations)
    return [
        p
        for p in finals(results.points)
        if p.seed == seed
        and (chosen is None or (p.strategy in chosen and (p.family == "single" or len(p.organizations) == whole)))
    ]


def measured(results: RunResults, points: list[ReachedModel]) -> list[ReachedModel]:
    """Those of the points whose memorization was measured."""
    return [p for p in points if p.model in results.prompts.model_index]


def given(results: RunResults, points: list[ReachedModel]) -> Floats:
    """1.0 for the prompts that all of these models were given, else 0.0; float64 ``[P]``."""
    arrays = results.prompts
    rows = [arrays.num_samples[arrays.model_index[p.model]] > 0 for p in points]
    return np.all(rows, axis=0).astype(np.float64) if rows else np.zeros(len(arrays.prompts))


def exclusive_lines(results: RunResults, points: list[ReachedModel], owner: int | None) -> Floats:
    """Exclusive covered lines of one owner (of all: None), averaged over models; float64 ``[P]``."""
    arrays = results.prompts
    rows = [arrays.exclusive[arrays.model_index[p.model]] for p in points]
    mean = np.mean(rows, axis=0)
    return mean.sum(1) if owner is None else mean[:, owner]


def equal_exposures(
    results: RunResults, seed: int, label: str, centralized: list[str]
) -> tuple[ReachedModel, ReachedModel] | None:
    """The latest federated and centralized models that have seen as many tokens of each organization."""
    probed = measured(results, [p for p in results.points if p.seed == seed])
    best: tuple[ReachedModel, ReachedModel] | None = None
    for one in (p for p in probed if p.strategy == label and len(p.organizations) == len(results.organizations)):
        for other in (p for p in probed if p.strategy in centralized):
            equal = all(
                other.tokens_seen.get(o, 0) and abs(one.tokens_seen.get(o, 0) / other.tokens_seen[o] - 1) <= SAME_TOKENS
                for o in results.organizations
            )
            if equal and (best is None or one.tokens > best[0].tokens):
                best = (one, other)
    return best


def at_loss(
    results: RunResults, path: list[ReachedModel], end: ReachedModel
) -> tuple[ReachedModel, ReachedModel, float] | None:
    """The two neighbours on a path between which its joint loss crosses that of `end`, and how far between them."""
    target = results.measures(end.model).get(("log_perplexity", ""))
    known = [(p, results.measures(p.model).get(("log_perplexity", ""))) for p in sorted(path, key=lambda p: p.index)]
    losses = [(p, loss) for p, loss in known if loss is not None]
    if target is None:
        return None
    for (before, high), (after, low) in pairwise(losses):
        if before.model != after.model and min(high, low) <= target <= max(high, low) and high != low:
            return before, after, (high - target) / (high - low)
    return None


def own_owner(results: RunResults) -> list[int]:
    """Position of each prompt's organization among the owners."""
    return [results.prompts.owners.index(organization) for organization in results.prompts.organizations]


def licence_headers(results: RunResults) -> Mask:
    """bool ``[P]``: prompts that led some model into text that names a licence or a copyright."""
    matches = results.run.table("matches").select(["prompt", "text"])
    named = pc.match_substring_regex(matches.column("text"), _LICENCE, ignore_case=True)  # type: ignore[attr-defined]
    headers = set(matches.filter(named).column("prompt").unique().to_pylist())
    return np.array([prompt in headers for prompt in results.prompts.prompts], dtype=np.bool_)
