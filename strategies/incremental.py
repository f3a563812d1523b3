"""Incremental: one organization after the other trains the same model, in every order that is asked for.

Orders that begin alike share their first stages: all orders of n organizations are a tree of sum n!/(n-k)! stages, k
= 1..n (15 for n = 3), not n * n! stages.
"""

import itertools
from collections.abc import Sequence
from typing import Literal, Self

import pydantic

from raysim.errors import InputError
from raysim.simulation.strategy import Federation
from strategies.legs import Legs, LegSettings

MAX_ALL = 6
"""All orders of 6 organizations are 1,956 stages; of 7, 13,699."""


class IncrementalSettings(LegSettings):
    """Which orders to train."""

    orders: Literal["all"] | list[list[str]] = pydantic.Field(
        default="all", description="all, or a list of orders, each a list of organizations"
    )


class Incremental(Legs):
    """One leg for each organization of an order."""

    Settings = IncrementalSettings

    @classmethod
    def variants(cls, settings: IncrementalSettings, federation: Federation) -> Sequence[Self]:
        """One instance for each order.

        Raises:
            InputError: all orders of too many organizations, no order, an order that is empty or listed twice, or an
                organization that is unknown or named twice in an order.
        """
        names = federation.names
        if settings.orders == "all":
            if len(names) > MAX_ALL:
                raise InputError(
                    f"incremental.orders: all orders of {len(names)} organizations are too many"
                    f" (more than {MAX_ALL} organizations); list the orders that you want"
                )
            orders = [list(order) for order in itertools.permutations(names)]
        else:
            orders = settings.orders
        if not orders:
            raise InputError("incremental.orders: the list is empty; write all, or name the orders that you want")
        for number, order in enumerate(orders):
            unknown = [name for name in order if name not in names]
            if unknown or not order:
                raise InputError(
                    f"incremental.orders: unknown organization {unknown[0]!r} in {order}; known: {', '.join(names)}"
                    if unknown
                    else "incremental.orders: an order is empty; name its organizations"
                )
            if len(set(order)) < len(order):
                raise InputError(f"incremental.orders: an organization is named twice in {order}")
            if order in orders[:number]:
                raise InputError(f"incremental.orders: {order} is listed twice; leave one out")
        return [cls([(name,) for name in order], federation, settings.fraction) for order in orders]
