"""Which orders of the organizations to train: all, listed ones, a sample, or one by what their data is like."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import pydantic
from raysim.strategies.designs import latin_orders, random_orders

from raysim.core.errors import InputError
from raysim.core.settings import Settings
from raysim.simulation.strategy import ClientInfo

MAX_ALL = 6
"""All orders of 6 organizations are 1,956 stages; of 7, 13,699."""

_RANKS = {"size": "num_tokens", "diversity": "diversity", "duplicates": "duplicate_share"}
_FORMS = (
    "all, a list of orders, {sample: 24, seed: 1, design: random | latin}, by_size, by_diversity, by_duplicates,"
    " or {by: size, descending: true}"
)


class OrderSettings(Settings):
    """Exactly one of `all`, `listed`, `sample`, `by`; a list is short for `listed`, ``by_size`` for ``{by: size}``."""

    all: bool = pydantic.Field(default=False, description="every order")
    listed: list[list[str]] | None = pydantic.Field(default=None, description="orders, each a list of organizations")
    sample: int | None = pydantic.Field(default=None, ge=1, description="number of different orders")
    seed: int = pydantic.Field(default=1, description="of the sample")
    design: Literal["random", "latin"] = pydantic.Field(
        default="random", description="latin: every organization is in every position equally often"
    )
    by: Literal["size", "diversity", "duplicates"] | None = pydantic.Field(
        default=None, description="one order, in which the organization that has the most of it comes last"
    )
    descending: bool = pydantic.Field(default=False, description="the organization that has the most comes first")

    short_forms = (
        {"enum": ["all", *(f"by_{rank}" for rank in _RANKS)]},
        {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if isinstance(value, dict | OrderSettings):
            return value
        if isinstance(value, list):
            return {"listed": value}
        if value == "all":
            return {"all": True}
        if value in [f"by_{rank}" for rank in _RANKS]:
            return {"by": value.removeprefix("by_")}
        raise ValueError(f"write {_FORMS}")

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [form for form in ("all", "listed", "sample", "by") if getattr(self, form) not in (None, False)]
        if len(given) != 1:
            raise ValueError(f"orders are exactly one of all, listed, sample, by; here are {given or 'none'}")
        for name, form in (("seed", "sample"), ("design", "sample"), ("descending", "by")):
            if name in self.model_fields_set and given != [form]:
                raise ValueError(f"{name} goes with {form}, not with {given[0]}")
        return self

    def of(self, clients: Sequence[ClientInfo]) -> list[list[str]]:
        """The orders of `clients`, always in the same sequence.

        Raises:
            InputError: all orders of too many organizations, a sample that cannot be drawn, no order, an order that is
                empty or listed twice, or an organization that is unknown or named twice in an order.
        """
        names = [client.name for client in clients]
        if self.all:
            return _all_orders(names)
        if self.listed is not None:
            return _checked(self.listed, names)
        if self.sample is not None:
            _check_sample(self.sample, len(names), self.design)
            draw = latin_orders if self.design == "latin" else random_orders
            return [[names[i] for i in order] for order in draw(len(names), self.sample, self.seed)]
        rank = _RANKS[self.by or "size"]
        # Sorting keeps ties in the order of the experiment, descending too.
        ranked = sorted(clients, key=lambda client: getattr(client, rank), reverse=self.descending)
        return [[client.name for client in ranked]]


def _all_orders(names: Sequence[str]) -> list[list[str]]:
    n = len(names)
    if n > MAX_ALL:
        stages = sum(math.perm(n, k) for k in range(1, n + 1))
        number = f"{stages:,}" if n <= 20 else "over 10^19"
        raise InputError(
            f"incremental.orders: all orders of {n} organizations are too many (more than {MAX_ALL} organizations):"
            f" {number} stages, the sum of n!/(n-k)! over k = 1..n; take for example"
            f" {{sample: {4 * n}, seed: 1, design: latin}}, or list the orders that you want"
        )
    return [list(order) for order in itertools.permutations(names)]


def _check_sample(sample: int, n: int, design: str) -> None:
    most = math.factorial(n)
    if sample > most:
        raise InputError(
            f"incremental.orders.sample: {sample} orders, but {n} organizations have {most}; write at most {most}"
        )
    if design == "latin" and sample % n:
        below = sample // n * n
        nearest = [allowed for allowed in (below, below + n) if allowed]
        raise InputError(
            f"incremental.orders.sample: {sample} orders, but design: latin needs a multiple of the number of"
            f" organizations, {n}; nearest: {' or '.join(map(str, nearest))}"
        )


def _checked(orders: list[list[str]], names: Sequence[str]) -> list[list[str]]:
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
    return orders
