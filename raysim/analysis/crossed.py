"""Intervals of a mean that varies over training (seeds) and material (clusters of prompts or files) at once.

The variance of the mean is that over seeds plus that over clusters, the latter of the contrast averaged over seeds,
with the same clusters left out in every seed and arm. What seeds and clusters do together is in both, so it counts
twice, which errs on the safe side. See docs/methods.md for the simulations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysim.analysis.statistics import Floats


@dataclass(frozen=True)
class Spread:
    """A mean and how much it varies.

    Attributes:
        mean: over seeds.
        seed_variance: of the mean, over seeds; 0 where they do not count.
        cluster_variance: of the mean, over clusters.
        third: third cumulant of the mean over clusters: how skewed it is. Seeds are taken for symmetric.
        seeds: how many; 1 where they do not count.
        cluster_df: clusters minus strata.
    """

    mean: float
    seed_variance: float
    cluster_variance: float
    third: float
    seeds: int
    cluster_df: int

    @property
    def variance(self) -> float:
        return self.seed_variance + self.cluster_variance

    @property
    def varies(self) -> bool:
        """Whether anything can be said: a mean without any spread tells nothing of what another draw would give."""
        return bool(np.isfinite(self.variance)) and self.variance > 0

    @property
    def df(self) -> float:
        """Degrees of freedom of the variance (Satterthwaite, Biometrics Bulletin 2, 1946)."""
        parts = [self.cluster_variance**2 / max(self.cluster_df, 1)]
        if self.seeds > 1:
            parts.append(self.seed_variance**2 / (self.seeds - 1))
        return self.variance**2 / sum(parts)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's interval, wider towards the side on which the clusters have their tail.

        The end on that side moves out by the first term of the Edgeworth expansion of a studentized mean, skewness / 6
        x (2 t^2 + 1) standard errors (Hall, Annals of Statistics 11, 1983; Johnson, JASA 73, 1978, has its centre). The
        other end stays, where the expansion would move it in: it trusts an estimated skewness too far.

        Returns:
            Lower and upper end; NaN where nothing varies.
        """
        if not self.varies:
            return float("nan"), float("nan")
        from scipy.special import stdtrit

        t = float(stdtrit(self.df, 0.5 + confidence / 2))
        error = float(np.sqrt(self.variance))
        outwards = abs(self._skewness) / 6 * (2 * t * t + 1)
        low = t + (outwards if self._skewness < 0 else 0.0)
        high = t + (outwards if self._skewness > 0 else 0.0)
        return self.mean - low * error, self.mean + high * error

    def p_above(self, bound: float) -> float:
        """One-sided p of the test that the true mean lies above `bound`: where the interval's lower end meets it."""
        return self._p((self.mean - bound), max(0.0, -self._skewness))

    def p_below(self, bound: float) -> float:
        """The same for below."""
        return self._p((bound - self.mean), max(0.0, self._skewness))

    @property
    def _skewness(self) -> float:
        return self.third / self.variance**1.5 if self.varies else 0.0

    def _p(self, distance: float, skewness: float) -> float:
        """Solves ``t + skewness / 6 (2 t^2 + 1) = distance / error`` for t."""
        if not self.varies:
            return 1.0
        from scipy.special import stdtr

        t, a = distance / np.sqrt(self.variance), skewness / 6
        if a > 0:
            t = (np.sqrt(1 + 8 * a * (t - a)) - 1) / (4 * a) if t > a else t - a
        return float(stdtr(self.df, -t))


def spread_of(values: Sequence[float], left_out: Floats, strata: Sequence[str], over_seeds: bool) -> Spread:
    """The spread of a mean over seeds.

    Args:
        values: of the statistic, one a seed.
        left_out: float64 ``[seeds, clusters]``, the statistic without each cluster, the others of its stratum weighing
            as much more.
        strata: of each cluster.
        over_seeds: whether the seeds are enough to count their variance.
    """
    number = len(values)
    seed_variance = float(np.var(values, ddof=1)) / number if over_seeds else 0.0
    pulls = np.mean(values) - left_out.mean(axis=0)
    variance, third = 0.0, 0.0
    names = np.array(strata)
    for stratum in sorted(set(strata)):
        inside = pulls[names == stratum]
        n = len(inside)
        if n < 2:
            return Spread(float(np.mean(values)), seed_variance, float("nan"), 0.0, number, 0)
        away = inside - inside.mean()
        # The jackknife's variance (Tukey) and third cumulant; of a plain mean both are the unbiased ones.
        variance += (n - 1) / n * float(np.sum(away**2))
        if n > 2:
            third += (n - 1) ** 2 / (n * (n - 2)) * float(np.sum(away**3))
    clusters = len(strata) - len(set(strata))
    return Spread(float(np.mean(values)), seed_variance, variance, third, number if over_seeds else 1, clusters)
