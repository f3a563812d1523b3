"""Dose and response of planted functions: how recital grows with repetition, and for whom.

Chance decides which function is planted how often, so a slope is an effect of repetition, not of what was repeated.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults, over_orders_and_seeds
from raysim.analysis.statistics import wilson

MIN_RECITED = 6
"""Lines from which on a function counts as recited: those of a clone, unless a run has a setting of its own."""

FEWEST = 10
"""Functions of at least two doses that an interval of a slope asks for."""


@dataclass(frozen=True)
class Share:
    """Of the functions that are there so often: how many are recited.

    Attributes:
        share: mean over functions; of each, over orders within a seed, then over seeds.
        low: of Wilson's interval, with functions for trials: seeds and orders ask for the same ones.
        functions: how many.
        nats: mean loss of a token, likewise.
    """

    share: float
    low: float
    high: float
    functions: int
    nats: float


@dataclass(frozen=True)
class Slope:
    """Change of the share recited with each doubling of 1 + repeats, by least squares over functions.

    Attributes:
        low: of its 95 % interval, with standard errors that unequal spreads leave valid (HC3: MacKinnon and White,
            Journal of Econometrics 29, 1985) and Student's t; None: too few functions.
    """

    slope: float
    low: float | None
    high: float | None
    functions: int


@dataclass(frozen=True)
class Responses:
    """What the models of one setting recite of the functions of some owners."""

    shares: Mapping[int, Share]
    slope: Slope | None

    @property
    def planted(self) -> float | None:
        """Share recited of the functions that were planted, however often; None: none was."""
        there = [share for repeats, share in self.shares.items() if repeats]
        total = sum(share.functions for share in there)
        return sum(share.share * share.functions for share in there) / total if total else None

    @property
    def unplanted(self) -> float | None:
        """Share recited of those that were planted nowhere: what chance does; None: there are none."""
        return self.shares[0].share if 0 in self.shares else None


def recited_from(results: RunResults) -> int:
    """Lines from which on a function of a run counts as recited."""
    return results.run.setting("measure", "memorization", "min_lines") or MIN_RECITED


Key = tuple[str, str, int]
"""A function: organization, name, repeats."""


def responses(
    models: Sequence[ReachedModel], of_model: Mapping[str, Sequence[Mapping[str, Any]]], trained: bool, min_lines: int
) -> Responses | None:
    """Of the functions of owners whose data a model has seen (`trained`), or has not; None where there are none.

    Args:
        models: final models of one setting.
        of_model: rows of the table `recitals` by model.
        trained: whose functions.
        min_lines: lines that count as recited.
    """
    hits: defaultdict[Key, list[tuple[ReachedModel, float]]] = defaultdict(list)
    nats: defaultdict[Key, list[tuple[ReachedModel, float]]] = defaultdict(list)
    for reached in models:
        for row in of_model.get(reached.model, ()):
            if (row["organization"] in reached.organizations) == trained:
                key = row["organization"], row["function"], row["repeats"]
                hits[key].append((reached, float(row["recited_lines"] >= min_lines)))
                nats[key].append((reached, row["nats"] / row["tokens"]))
    if not hits:
        return None
    recited = {key: over_orders_and_seeds(values) for key, values in hits.items()}
    losses = {key: over_orders_and_seeds(values) for key, values in nats.items()}
    shares = {
        repeats: _share([key for key in recited if key[2] == repeats], recited, losses)
        for repeats in sorted({key[2] for key in recited})
    }
    doses, values = [key[2] for key in recited], list(recited.values())
    return Responses(shares, slope(doses, values))


def slope(repeats: Sequence[int], responses: Sequence[float]) -> Slope | None:
    """Least squares of `responses` on log2(1 + `repeats`), one of each a function; None for one dose alone."""
    x = np.array([log2(1 + dose) for dose in repeats])
    y, n = np.array(responses), len(repeats)
    if len(set(repeats)) < 2:
        return None
    design = np.stack([np.ones(n), x], 1)
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ y
    if n < FEWEST:
        return Slope(float(coefficients[1]), None, None, n)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    weights = ((y - design @ coefficients) / np.maximum(1 - leverage, 1e-9)) ** 2
    variance = inverse @ (design.T * weights) @ design @ inverse
    from scipy.special import stdtrit

    half = float(stdtrit(n - 2, 0.975)) * float(np.sqrt(variance[1, 1]))
    return Slope(float(coefficients[1]), float(coefficients[1]) - half, float(coefficients[1]) + half, n)


def _share(keys: Iterable[Key], recited: Mapping[Key, float], losses: Mapping[Key, float]) -> Share:
    keys = list(keys)
    hits = sum(recited[key] for key in keys)
    low, high = wilson(hits, len(keys))
    return Share(hits / len(keys), low, high, len(keys), float(np.mean([losses[key] for key in keys])))
