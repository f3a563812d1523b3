"""Orders of incremental training: which of them were run to their end, what came out, and which is best at what price.

Only orders that name every organization of the run once are compared. Others are counted and left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.analysis.reached_models import ReachedModel, settings
from raysim.analysis.results import Measure, RunResults
from raysim.experiment.report_settings import ReportSettings
from raysim.tables.io import schema

Order = tuple[str, ...]
"""Organizations, the one trained first coming first."""
Values = Mapping[Order, float]
"""One number an order."""

BITS: Measure = ("bits_per_byte", "")
EXCLUSIVE: Measure = ("exclusive", "")


@dataclass(frozen=True)
class Orders:
    """The orders of one incremental setting.

    Attributes:
        strategy: label of the setting.
        organizations: of the run, in the order of the experiment.
        paths: for each seed and order the keys of its models by the number of organizations trained on, from 0 (the
            initial model) to all; None where the tables lack one.
        num_left_out: orders that do not name every organization once.
    """

    strategy: str
    organizations: Order
    paths: dict[int, dict[Order, tuple[str | None, ...]]]
    num_left_out: int

    @property
    def names(self) -> list[Order]:
        """Every order of any seed, in lexical order of the organizations' places in the experiment."""
        rank = {name: i for i, name in enumerate(self.organizations)}
        found = {order for paths in self.paths.values() for order in paths}
        return sorted(found, key=lambda order: [rank[name] for name in order])

    def finals(self, results: RunResults, measure: Measure) -> dict[int, dict[Order, float]]:
        """A measure of the final models, by seed and order; orders without it are not there."""
        found: dict[int, dict[Order, float]] = {}
        for seed, paths in self.paths.items():
            values = {order: _value(results, path[-1], measure) for order, path in paths.items()}
            found[seed] = {order: value for order, value in values.items() if value is not None}
        return found

    def courses(self, results: RunResults, measure: Measure) -> dict[int, dict[Order, tuple[float, ...]]]:
        """A measure after 0, 1, ... and all stages, by seed and order; only orders with all of them measured."""
        found: dict[int, dict[Order, tuple[float, ...]]] = {}
        for seed, paths in self.paths.items():
            found[seed] = {}
            for order, path in paths.items():
                values = [_value(results, model, measure) for model in path]
                known = tuple(value for value in values if value is not None)
                if len(known) == len(path):
                    found[seed][order] = known
        return found


def incremental_orders(results: RunResults) -> list[Orders]:
    """The orders of each incremental setting that ran at least one of them to its end."""
    organizations = tuple(results.organizations)
    found: list[Orders] = []
    for label in settings(results.reached_models, "incremental"):
        models: dict[tuple[int, Order], dict[int, ReachedModel]] = {}
        for reached in results.reached_models:
            if reached.strategy == label and reached.family == "incremental":
                models.setdefault((reached.seed, reached.members), {})[reached.index] = reached
        finished = {place: stages for place, stages in models.items() if any(m.final for m in stages.values())}
        whole = {
            (seed, order)
            for (seed, order), stages in finished.items()
            if sorted(order) == sorted(organizations) and max(stages) == len(order)
        }
        paths: dict[int, dict[Order, tuple[str | None, ...]]] = {}
        for seed, order in sorted(whole):
            stages = finished[seed, order]
            keys = [stages[i].model if i in stages else None for i in range(len(order) + 1)]
            paths.setdefault(seed, {})[order] = tuple(keys)
        left_out = {order for _, order in finished.keys() - whole}
        found.append(Orders(label, organizations, paths, len(left_out)))
    return found


@dataclass(frozen=True)
class OrderOutcome:
    """What an order costs: bits per byte and exclusive covered lines a prompt, both better if smaller."""

    order: Order
    bits_per_byte: float
    exclusive: float

    def score(self, weight: float) -> float:
        """Bits per byte, plus what its leakage is worth in them."""
        return self.bits_per_byte + weight * self.exclusive


@dataclass(frozen=True)
class BestRange:
    """The weights of leakage, from `low` to `high`, under which an order has the smallest score."""

    low: float
    high: float
    outcome: OrderOutcome


def outcomes(results: RunResults, orders: Orders) -> list[OrderOutcome]:
    """What each order costs, averaged over the seeds in which both of its costs were measured."""
    bits, leaks = orders.finals(results, BITS), orders.finals(results, EXCLUSIVE)
    found: list[OrderOutcome] = []
    for order in orders.names:
        seeds = [seed for seed in orders.paths if order in bits[seed] and order in leaks[seed]]
        if seeds:
            means = [float(np.mean([values[seed][order] for seed in seeds])) for values in (bits, leaks)]
            found.append(OrderOutcome(order, *means))
    return found


def pareto(found: Iterable[OrderOutcome]) -> set[Order]:
    """The orders that no other one beats: as good in both costs and better in one."""
    listed = list(found)

    def beaten(one: OrderOutcome) -> bool:
        return any(
            other.bits_per_byte <= one.bits_per_byte
            and other.exclusive <= one.exclusive
            and (other.bits_per_byte, other.exclusive) != (one.bits_per_byte, one.exclusive)
            for other in listed
        )

    return {one.order for one in listed if not beaten(one)}


def best_ranges(found: Sequence[OrderOutcome]) -> list[BestRange]:
    """Which order is best for which weight of leakage, from 0 upwards: the lower envelope of the scores as lines.

    Each score is a line in the weight: bits per byte at 0, exclusive lines as its slope. With growing weight the best
    slope can only fall, so the walk goes from the best bits per byte to the least leakage, each time over the nearest
    intersection. Of orders with equal costs the first one is taken for all.
    """
    if not found:
        return []
    current = min(found, key=lambda one: (one.bits_per_byte, one.exclusive))
    ranges: list[BestRange] = []
    low = 0.0
    while flatter := [one for one in found if one.exclusive < current.exclusive]:
        high, _, following = min(
            ((_intersection(current, one), one.exclusive, one) for one in flatter), key=lambda found: found[:2]
        )
        if high > low:
            ranges.append(BestRange(low, high, current))
        current, low = following, max(low, high)
    return [*ranges, BestRange(low, inf, current)]


def leakage_weight(results: RunResults) -> float:
    """The weight that the experiment states, or its default."""
    stated = results.run.setting("report", "leakage_weight")
    return ReportSettings().leakage_weight if stated is None else float(stated)


def orders_table(results: RunResults) -> pa.Table:
    """The table `orders`: a row a seed, incremental setting and order."""
    weight = leakage_weight(results)
    rows: list[dict[str, Any]] = []
    for orders in incremental_orders(results):
        unbeaten = pareto(outcomes(results, orders))
        for seed, paths in orders.paths.items():
            taken = {order: results.measures(path[-1]) for order, path in paths.items() if path[-1] is not None}
            scores: dict[Order, float] = {}
            for order, found in taken.items():
                if BITS in found and EXCLUSIVE in found:
                    scores[order] = OrderOutcome(order, found[BITS], found[EXCLUSIVE]).score(weight)
            for order, found in taken.items():
                score = scores.get(order)
                owners = [(o, found["covered_eligible", o]) for o in order if ("covered_eligible", o) in found]
                rows.append(
                    {
                        "seed": seed,
                        "strategy": orders.strategy,
                        "order": " > ".join(order),
                        "model": paths[order][-1],
                        "bits_per_byte": found.get(BITS),
                        "exclusive": found.get(EXCLUSIVE),
                        "covered_eligible": sorted(owners),
                        "leakage_weight": weight,
                        "score": score,
                        "rank": None if score is None else 1 + sum(other < score for other in scores.values()),
                        "pareto": None if score is None else order in unbeaten,
                    }
                )
    return pa.Table.from_pylist(rows, schema("orders"))


def _intersection(one: OrderOutcome, other: OrderOutcome) -> float:
    """The weight under which two orders with different leakage have the same score."""
    return (other.bits_per_byte - one.bits_per_byte) / (one.exclusive - other.exclusive)


def _value(results: RunResults, model: str | None, measure: Measure) -> float | None:
    return None if model is None else results.measures(model).get(measure)
