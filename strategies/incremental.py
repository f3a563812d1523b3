"""Incremental: one organization after the other trains the same model, in every order that is asked for.

Orders that begin alike share their first stages: all orders of n organizations are a tree of sum n!/(n-k)! stages, k
= 1..n (15 for n = 3), not n * n! stages.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

import pydantic
from raysim.strategies.continual import ContinualSettings, ContinualStrategy
from raysim.strategies.orders import OrderSettings

from raysim.simulation.strategy import Family, Federation


class IncrementalSettings(ContinualSettings):
    """Which orders to train."""

    CHOOSE_VARIANTS = frozenset({"orders"})

    orders: OrderSettings = pydantic.Field(
        default=OrderSettings(all=True),
        description="all, a list of orders, {sample: 24, design: latin}, by_size, by_diversity or by_duplicates",
    )


class Incremental(ContinualStrategy):
    """One stage for each organization of an order."""

    Settings = IncrementalSettings
    family: ClassVar[Family] = "incremental"

    @classmethod
    def variants(cls, settings: IncrementalSettings, federation: Federation) -> Sequence[Self]:
        """One variant for each order.

        Raises:
            InputError: orders that these organizations do not have; see `OrderSettings.of`.
        """
        orders = settings.orders.of(federation.clients)
        return [cls([(name,) for name in order], federation, settings) for order in orders]
