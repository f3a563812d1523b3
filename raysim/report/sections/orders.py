"""What the report says of orders beside the figures: the best one at a stated price, effects, contributions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import factorial, inf
from typing import Any

import numpy as np

from raysim.analysis.orders import (
    BestRange,
    Order,
    Orders,
    Values,
    best_ranges,
    incremental_orders,
    leakage_weight,
    outcomes,
    pareto,
)
from raysim.analysis.results import RunResults
from raysim.report.sections.order_effects import EffectTable, EffectTables

NUM_OPEN_ORDERS = 8
"""Orders that are open on the page, beside those that are best at some price; the others unfold."""


@dataclass(frozen=True)
class RankedOrder:
    """One order as the page lists it, averaged over seeds.

    Attributes:
        best: for which weights of leakage it is the best one, or ''.
        ranks: its ranks over seeds, if there are several seeds.
        covered: covered lines per eligible prompt, for each organization.
        test: bits per byte on the test split; None where there is none.
    """

    rank: int
    order: str
    bits_per_byte: float
    exclusive: float
    score: float
    pareto: bool
    best: str
    ranks: str
    covered: list[str]
    test: float | None = None

    @property
    def open(self) -> bool:
        """Whether it is open on the page."""
        return self.rank <= NUM_OPEN_ORDERS or bool(self.best)


@dataclass(frozen=True)
class OrderBlock:
    """What is said of one incremental setting.

    Attributes:
        tree: name of its figure.
        prices: the orders that are best for some weight of leakage, from 0 upwards.
    """

    strategy: str
    tree: str
    summary: str
    weight: float
    ranked: list[RankedOrder]
    prices: list[RankedOrder]
    num_orders: int
    positions: EffectTable | None = None
    followers: EffectTable | None = None
    followers_quality: EffectTable | None = None
    attribution: EffectTable | None = None
    regression: EffectTable | None = None
    notes: list[str] = field(default_factory=list)


def order_blocks(
    results: RunResults, rows: Sequence[dict[str, Any]], effects: Sequence[dict[str, Any]]
) -> list[OrderBlock]:
    """A block for each incremental setting.

    Args:
        results: of the run.
        rows: those of the table `orders`.
        effects: those of the table `order_effects`.
    """
    blocks: list[OrderBlock] = []
    for number, orders in enumerate(incremental_orders(results)):
        known = EffectTables(orders, effects)
        ranked = _ranked(results, orders, rows)
        blocks.append(
            OrderBlock(
                strategy=orders.strategy,
                tree=f"tree_{number}",
                summary=_summary(orders),
                weight=leakage_weight(results),
                ranked=ranked,
                prices=sorted((one for one in ranked if one.best), key=lambda one: -one.exclusive),
                num_orders=len(orders.names),
                positions=known.positions(),
                followers=known.followers(lambda owner: ("covered_eligible", owner)),
                followers_quality=known.followers(lambda _: ("bits_per_byte", "")),
                attribution=known.by_measure("shapley", "Stage of", with_sum=True),
                regression=known.by_measure("pairwise", "Pair"),
                notes=known.notes(),
            )
        )
    return blocks


def _ranked(results: RunResults, orders: Orders, rows: Sequence[dict[str, Any]]) -> list[RankedOrder]:
    found = outcomes(results, orders)
    weight = leakage_weight(results)
    unbeaten = pareto(found)
    ranges = {best.outcome.order: _range(best) for best in best_ranges(found)}
    scores = [one.score(weight) for one in found]
    covered = [orders.finals(results, ("covered_eligible", owner)) for owner in orders.organizations]
    ranked: list[RankedOrder] = []
    for one in sorted(found, key=lambda one: one.score(weight)):
        name = " > ".join(one.order)
        ranks = [row["rank"] for row in rows if (row["strategy"], row["order"]) == (orders.strategy, name)]
        ranks = sorted(rank for rank in ranks if rank is not None)
        ranked.append(
            RankedOrder(
                rank=1 + sum(score < one.score(weight) for score in scores),
                order=name,
                bits_per_byte=one.bits_per_byte,
                exclusive=one.exclusive,
                score=one.score(weight),
                pareto=one.order in unbeaten,
                best=ranges.get(one.order, ""),
                ranks=f"{ranks[0]} to {ranks[-1]} over seeds" if len(ranks) > 1 else "",
                covered=[_mean(by_seed, one.order) for by_seed in covered],
                test=_over_seeds(orders.finals(results, ("test_bits_per_byte", "")), one.order),
            )
        )
    return ranked


def _over_seeds(by_seed: Mapping[int, Values], order: Order) -> float | None:
    known = [values[order] for values in by_seed.values() if order in values]
    return float(np.mean(known)) if known else None


def _mean(by_seed: Mapping[int, Values], order: Order) -> str:
    mean = _over_seeds(by_seed, order)
    return "–" if mean is None else f"{mean:.2f}"


def _summary(orders: Orders) -> str:
    seeds, names = len(orders.paths), len(orders.names)
    total = factorial(len(orders.organizations))
    what = f"All {total} orders" if names == total else f"{names} of {total} orders"
    return f"{what}, {seeds} seed{'s' * (seeds != 1)}."


def _range(best: BestRange) -> str:
    if best.high == inf:
        return f"over {best.low:.3g}" if best.low else "any"
    return f"{best.low:.3g} to {best.high:.3g}"
