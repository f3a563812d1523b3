"""The few statistics that the report needs, each with its source."""

from collections.abc import Mapping, Sequence
from math import lgamma, log, log2

import numpy as np
import numpy.typing as npt

from raysim.core.rarefaction import chance_seen

Floats = npt.NDArray[np.float64]


def wilson(hits: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a share; it is sound at zero, where the usual one collapses (Wilson, JASA 22, 1927).

    Neither need be whole: a share that is a mean over several models has as many trials as there are distinct items.
    That is why this is not `scipy.stats.binomtest`, which takes whole numbers alone; on these they agree.

    Returns:
        Lower and upper end; (0, 1) without any trial.
    """
    if trials == 0:
        return 0.0, 1.0
    from scipy.special import ndtri  # scipy.stats, which has the same functions, takes eight times as long to import

    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    share = hits / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = np.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    low = 0.0 if hits == 0 else max(0.0, float(centre - half))
    high = 1.0 if hits == trials else min(1.0, float(centre + half))
    return low, high


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of at least two values."""
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * _standard_error(values)
    mean = float(np.mean(values))
    return mean - half, mean + half


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p values adjusted for the number of tests, step-down (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: (item[1], item[0]))):
        running = max(running, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = running
    return adjusted


def holm_levels(p_values: Mapping[str, float], level: float) -> dict[str, float]:
    """The level at which Holm's procedure tests each p value; it rejects those that are not above theirs.

    From the first that it does not reject on, all have that one's level.
    """
    levels: dict[str, float] = {}
    at, open_ = level, True
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: (item[1], item[0]))):
        at = level / (len(p_values) - rank) if open_ else at
        open_ = open_ and p <= at
        levels[name] = at
    return levels


def hochberg_levels(p_values: Mapping[str, float], level: float) -> dict[str, float]:
    """The level at which Hochberg's procedure tests each p value (Biometrika 75, 1988).

    All are rejected where none is above `level`, which is the intersection-union test of them all; else it is stricter
    with the others. For tests that are independent or depend on each other positively, as arms with a reference in
    common do (Sarkar, Annals of Statistics 26, 1998).
    """
    ranked = sorted(p_values.items(), key=lambda item: (-item[1], item[0]))
    levels: dict[str, float] = {}
    rejecting = 0
    for rank, (name, p) in enumerate(ranked, start=1):
        rejecting = rejecting or (rank if p <= level / rank else 0)
        levels[name] = level / (rejecting or rank)
    return levels


def exposure_by_chance(num_secrets: int, candidates: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exposures, in bits, of secrets that a model knows nothing of, each ranked among `candidates`.

    Every rank is as likely as another, and ``log2(candidates / rank)`` is below an exponential variable of mean
    1 / ln 2; the sum of several of these has a gamma distribution.

    Returns:
        the mean, and what the mean of `num_secrets` is below with probability `confidence` at least.
    """
    from scipy.special import gammaincinv

    top = log2(candidates)
    bound = float(gammaincinv(num_secrets, confidence)) / num_secrets / log(2)
    return top - lgamma(candidates + 1) / log(2) / candidates, min(bound, top)


def rarefied(incidences: Sequence[int], samples: int, size: int) -> float:
    """Distinct fragments to expect in `size` of `samples` samples, without replacement; see `raysim.core.rarefaction`.

    Args:
        incidences: for each distinct fragment, in how many samples it occurs.
        samples: samples taken.
        size: samples to scale down to, at most `samples`.
    """
    return float(np.sum(chance_seen(incidences, samples, size)))


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
