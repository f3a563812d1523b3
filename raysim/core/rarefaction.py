"""Rarefaction: what is distinct in corpora or samples of different size, compared at one size."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def chance_seen(counts: Sequence[int], total: int, size: int) -> npt.NDArray[np.float64]:
    """For each thing the chance that `size` of `total` places, drawn without replacement, have it.

    One that is in k places is missed with probability C(total - k, size) / C(total, size), the product over i < k
    of (total - size - i) / (total - i) (Hurlbert, The nonconcept of species diversity, Ecology 52, 1971, after Sanders,
    American Naturalist 102, 1968). The sum over all things is the number of distinct ones to expect. The product
    rounds less than the usual difference of log-gammas, and takes as many steps as the largest count.

    Args:
        counts: for each thing, in how many places it is, each from 1 to `total`.
        total: places.
        size: places to draw, at most `total`.

    Returns:
        float64 ``[counts]``.
    """
    if not len(counts):
        return np.zeros(0)
    earlier = np.arange(max(counts))
    missed = np.cumprod(np.maximum(total - size - earlier, 0.0) / (total - earlier))
    return np.asarray(1.0 - missed[np.asarray(counts) - 1], dtype=np.float64)
