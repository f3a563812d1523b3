"""How far averages of low-rank adapters are from the average of what they add to their layers.

The average of products B A is not the product of averages: Singhal, Ponkshe & Vepakomma: FedEx-LoRA: Exact Aggregation
for Federated and Efficient Fine-Tuning of Foundation Models, 2024, arXiv 2410.09432. Norms of differences of
products are taken of their factors, so that no matrix of a layer's size is made unless one travels.
"""

import math
from collections.abc import Sequence

import numpy as np

from raysim.training.adapters import Adapter, Factor, Matrix
from raysim.training.weights import Flat


def gaps_of(
    adapters: Sequence[Adapter], weights: Sequence[Flat], shares: Sequence[float], before: Flat, after: Flat | None
) -> dict[str, float]:
    """The gaps of one aggregation, each relative to the Frobenius norm of the exact average over all layers.

    Args:
        adapters: of the model.
        weights: of the clients.
        shares: what each client counts; the sum is 1.
        before: the weights that the clients started from.
        after: those that the server made of the average; None: it made a step of its own.

    Returns:
        ``factor_gap``, of the product of averaged factors, and ``average_gap``, of `after`, if there is one.
    """
    exact, factors, made = 0.0, 0.0, 0.0
    for one in adapters:
        if one.a is None:  # sums of B beside the same A are exact, up to rounding
            continue
        left, right = averaged_product(one, weights, shares)
        exact += one.scale**2 * _squared_norm(left, right)
        b, a = averaged(one.b, weights, shares), averaged(one.a, weights, shares)
        factors += one.scale**2 * _squared_norm(np.hstack([left, -b]), np.vstack([right, a]))
        if after is not None:
            made += _distance_of(one, left, right, before, after)
    gaps = {"factor_gap": _ratio(factors, exact)}
    return gaps if after is None else {**gaps, "average_gap": _ratio(made, exact)}


def averaged_product(adapter: Adapter, weights: Sequence[Flat], shares: Sequence[float]) -> tuple[Matrix, Matrix]:
    """The clients' average of B A as a product: ``[out, clients * rank]`` and ``[clients * rank, in]``."""
    assert adapter.a is not None, "an average of one factor needs no product"
    left = [share * adapter.b.of(flat).astype(np.float64) for share, flat in zip(shares, weights, strict=True)]
    return np.hstack(left), np.vstack([adapter.a.of(flat).astype(np.float64) for flat in weights])


def averaged(factor: Factor, weights: Sequence[Flat], shares: Sequence[float]) -> Matrix:
    """The clients' average of one factor."""
    terms = (share * factor.of(flat).astype(np.float64) for share, flat in zip(shares, weights, strict=True))
    return np.sum(list(terms), axis=0)


def _distance_of(adapter: Adapter, left: Matrix, right: Matrix, before: Flat, after: Flat) -> float:
    """Squared norm of what the server's model adds to a layer, less the product of `left` and `right`."""
    assert adapter.a is not None, "see averaged_product"
    b, a = (factor.of(after).astype(np.float64) for factor in (adapter.b, adapter.a))
    left, right = np.hstack([left, -b]), np.vstack([right, a])
    if adapter.base is None:
        return adapter.scale**2 * _squared_norm(left, right)
    moved = adapter.base.of(after).astype(np.float64) - adapter.base.of(before)
    return float(np.square((moved.T if adapter.transposed else moved) - adapter.scale * (left @ right)).sum())


def _squared_norm(left: Matrix, right: Matrix) -> float:
    """Squared Frobenius norm of ``left @ right``, by their triangular factors, which have as many rows as ranks."""
    (_, one), (_, other) = np.linalg.qr(left), np.linalg.qr(right.T)
    return float(np.square(one @ other.T).sum())


def _ratio(squared: float, exact: float) -> float:
    return math.sqrt(squared / exact) if exact else 0.0
