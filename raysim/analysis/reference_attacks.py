"""Membership scores of files that hold a model against reference models, which were never trained on them.

Both attacks are offline: no reference was trained on a file that is judged. The online ones need models trained on each
file, held-out ones included, and of these there are none.
"""

import numpy as np

from raysim.analysis.auc import Mask
from raysim.analysis.statistics import Floats

FEWEST_FOR_VARIANCES = 64
"""References from which on each file has a variance of its own; with fewer, one of all files tells more (LiRA)."""

RMIA_GAMMA = 1.0
RMIA_A = 1.0
"""Slope of the line that takes what a reference says of a file to what one trained on it would: 1 says the same."""

_LOSSES = (1e-9, 700.0)
"""Losses are taken to lie in this range, nats a token: outside it float64 has no odds of a probability."""


def logit_confidence(losses: Floats) -> Floats:
    """The logit of the geometric mean of the probabilities of a file's tokens, from nats a token; any shape.

    Losses of models are far from normal, their logits nearly are (Carlini et al., arXiv 2112.03570).
    """
    return -np.log(np.expm1(np.clip(losses, *_LOSSES)))


def lira(losses: Floats, references: Floats) -> Floats:
    """Offline likelihood-ratio attack, higher for members; float64 ``[F]``.

    ``(phi - mean) / deviation`` of the references' normal distribution, whose distribution function is the paper's
    score 1 - Pr[Z > phi]; it orders files as that does, and never saturates (Carlini, Chien, Nasr, Song, Terzis &
    Tramer: Membership Inference Attacks From First Principles, IEEE S&P 2022, arXiv 2112.03570). With one reference the
    deviation is unknown and taken for 1, which orders files as one deviation of all does.

    Args:
        losses: nats a token of the model, ``[F]``.
        references: of each reference, ``[R, F]``.
    """
    confidences = logit_confidence(references)
    number = len(confidences)
    deviations = np.ones(len(losses))
    if number > 1:
        variances = confidences.var(axis=0, ddof=1)
        if number < FEWEST_FOR_VARIANCES:
            variances = np.full(len(losses), variances.mean())
        deviations = np.sqrt(np.where(variances > 0, variances, 1.0))
    return (logit_confidence(losses) - confidences.mean(axis=0)) / deviations


def rmia(losses: Floats, references: Floats, population: Mask, gamma: float = RMIA_GAMMA, a: float = RMIA_A) -> Floats:
    """Offline robust membership inference, higher for members; float64 ``[F]`` in [0, 1].

    The share of a population against which a file's ratio ``p(x | model) / p(x)`` is `gamma` times as high or higher,
    with ``p(x) = ((1 + a) p_out(x) + 1 - a) / 2`` and p_out the mean over references (Zarifzadeh, Liu & Shokri:
    Low-Cost High-Power Membership Inference Attacks, ICML 2024, arXiv 2312.03262). A file's probability is the
    geometric mean of its tokens'. A file of the population is held against the others.

    Args:
        losses: nats a token of the model, ``[F]``.
        references: of each reference, ``[R, F]``.
        population: which files are known to be no members, ``[F]``.
        gamma: how many times.
        a: see `RMIA_A`.
    """
    losses, references = np.clip(losses, *_LOSSES), np.clip(references, *_LOSSES)
    expected = ((1 + a) * np.exp(-references).mean(axis=0) + (1 - a)) / 2
    ratios = np.exp(-losses) / expected
    ordered = np.sort(ratios[population])
    beaten = np.searchsorted(ordered, ratios / gamma, side="right").astype(np.float64)
    itself = population & (gamma <= 1.0)
    others = np.maximum(len(ordered) - population, 1)
    return (beaten - itself) / others
