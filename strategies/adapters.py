"""Averages of low-rank adapters that are averages of what clients trained: of products B A, not of factors apart.

``exact`` is FedEx-LoRA (Singhal, Ponkshe & Vepakomma: FedEx-LoRA: Exact Aggregation for Federated and Efficient
Fine-Tuning of Foundation Models, 2024, arXiv 2410.09432): factors are averaged, and what the product of the averages
lacks is added to the frozen matrix, at every client alike. Here that matrix travels itself, behind the adapters
(`model.lora.carry_base`).

``refactored`` averages the products and cuts the average to the adapters' rank by its singular values (FlexLoRA: Bai,
Chen, Qian, Yao & Li: Federated Fine-tuning of Large Language Models under Heterogeneous Tasks and Client Resources,
NeurIPS 2024, arXiv 2402.11505): the best of that rank (Eckart & Young), and exact where the average has no higher one.
Both factors get the square roots of the singular values.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from raysim.core.errors import InputError
from raysim.simulation.adapter_gaps import averaged_product
from raysim.training.adapters import Adapter, Adapters, Matrix
from raysim.training.weights import Flat

AdapterAverage = Literal["factors", "exact", "refactored"]


def check_adapters(way: AdapterAverage, adapters: Adapters | None) -> None:
    """Refuses a way of averaging that does not fit the model.

    Raises:
        InputError: there are no two factors to average, or the matrices that `exact` changes do not travel, or they
            travel and nothing changes them.
    """
    settings = adapters.settings if adapters else None
    if way != "factors" and (settings is None or settings.train == "b"):
        why = "model.lora is unset" if settings is None else "model.lora.train is b, whose averages are exact"
        raise InputError(f"adapters: is {way}, but {why}; leave it out")
    carried = settings is not None and settings.carry_base
    if way == "exact" and not carried:
        raise InputError(
            "adapters: is exact, which changes the matrices beside adapters; write model.lora.carry_base: true, so that"
            " they travel"
        )
    if carried and way != "exact":
        raise InputError(
            f"adapters: is {way}, and model.lora.carry_base has matrices travel that only adapters: exact changes;"
            " write that, or leave carry_base out"
        )


def average_products(
    way: AdapterAverage,
    adapters: Sequence[Adapter],
    weights: Sequence[Flat],
    shares: Sequence[float],
    before: Flat,
    average: Flat,
) -> None:
    """Makes of factors that were averaged apart the average of the products, in place.

    Args:
        way: ``exact`` or ``refactored``.
        adapters: of the model.
        weights: of the clients.
        shares: what each client counts; the sum is 1.
        before: weights that the clients started from.
        average: of all weights; changed.
    """
    for one in adapters:
        left, right = averaged_product(one, weights, shares)
        assert one.a is not None, "check_adapters"
        b, a = one.b.of(average), one.a.of(average)
        if way == "exact":
            assert one.base is not None, "check_adapters"
            lost = one.scale * (left @ right - b.astype(np.float64) @ a)
            one.base.of(average)[:] = one.base.of(before) + (lost.T if one.transposed else lost)
        else:
            b[:], a[:] = truncated(left, right, b.shape[1])


def truncated(left: Matrix, right: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """The best approximation of ``left @ right`` by a product of inner dimension `rank`.

    The largest element of each column of the first factor is positive, so that equal products have equal factors.
    """
    (q_left, r_left), (q_right, r_right) = np.linalg.qr(left), np.linalg.qr(right.T)
    core = r_left @ r_right.T
    b, a = np.zeros((left.shape[0], rank)), np.zeros((rank, right.shape[1]))
    if not np.isfinite(core).all():  # what has diverged is refused by the store, in words
        b[:], a[:] = np.nan, np.nan
        return b, a
    u, values, v = np.linalg.svd(core)
    kept = min(rank, values.size)
    columns, rows = q_left @ u[:, :kept], v[:kept] @ q_right.T
    signs = np.sign(columns[np.abs(columns).argmax(axis=0), np.arange(kept)])
    roots = np.sqrt(values[:kept])
    b[:, :kept], a[:kept] = columns * (signs * roots), (signs * roots)[:, None] * rows
    return b, a
