"""A lower bound of epsilon from one run: what an attacker's guesses on planted units rule out.

Steinke, Nasr & Jagielski: Privacy Auditing with One (1) Training Run, NeurIPS 2023, arXiv 2305.08846. Each of m
canaries, units of the guarantee that is audited, is put in or left out by a fair coin of its own. Whoever guesses r of
the coins from the models of an (epsilon, delta)-private run is right v times or more with a probability of at most

    P[B >= v] + 2 m delta max_i P[v > B >= v - i] / i,    B ~ Binomial(r, 1 / (1 + exp(-epsilon)))

(theorem 5.2), so that every epsilon for which that is below 5 % is ruled out at 95 %. What is audited is the whole of
the run, its code too: a bound above the epsilon that is claimed says that one of the two is wrong.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_MOST = 60.0
"""Where the search for epsilon ends: no number of canaries that fits a run rules out as much."""


@dataclass(frozen=True)
class AuditedEpsilon:
    """What an audit rules out.

    Attributes:
        lower: epsilons below it are ruled out at the confidence that was asked for; 0: none is.
        canaries: units that a coin put in or left out.
        guesses: coins that were guessed.
        correct: of these.
    """

    lower: float
    canaries: int
    guesses: int
    correct: int


def audited_epsilon(
    scores: npt.NDArray[np.floating],
    included: npt.NDArray[np.bool_],
    guesses: int,
    delta: float,
    confidence: float = 0.95,
) -> AuditedEpsilon:
    """Guesses that canaries of the highest scores were put in and those of the lowest left out, half of each.

    It holds for scores of any kind, as long as they do not look at the coins and `guesses` was chosen before them.

    Args:
        scores: of each canary by the models, higher for those that seem to have been trained on, ``[canaries]``.
        included: what its coin said, ``[canaries]``.
        guesses: coins to guess, an even number; few leave the doubtful out.
        delta: of the guarantee.
        confidence: of the bound.

    Raises:
        ValueError: guesses are odd, none, or more than canaries.
    """
    if guesses % 2 or not 0 < guesses <= len(scores):
        raise ValueError(f"guesses: {guesses} is no even number from 2 to the {len(scores)} canaries")
    order = np.argsort(scores, kind="stable")
    half = guesses // 2
    correct = int(included[order[-half:]].sum() + (~included[order[:half]]).sum())
    return AuditedEpsilon(lower_bound(len(scores), guesses, correct, delta, confidence), len(scores), guesses, correct)


def lower_bound(canaries: int, guesses: int, correct: int, delta: float, confidence: float = 0.95) -> float:
    """The largest epsilon at which so many correct guesses have a probability of at most ``1 - confidence``."""
    low, high = 0.0, _MOST
    if p_value(canaries, guesses, correct, low, delta) > 1 - confidence:
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        within = p_value(canaries, guesses, correct, middle, delta) <= 1 - confidence
        low, high = (middle, high) if within else (low, middle)
    return low


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """A bound of the probability of `correct` or more right guesses where the run is (`epsilon`, `delta`)-private."""
    from scipy.stats import binom

    chance = 1 / (1 + np.exp(-epsilon))
    below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, chance)) / np.arange(1, correct + 1)
    beyond = float(binom.sf(correct - 1, guesses, chance))
    return min(1.0, beyond + 2 * canaries * delta * float(below.max(initial=0.0)))
