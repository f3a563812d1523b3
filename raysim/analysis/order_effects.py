"""What the order does to a measure: effects of position, of who comes before whom, and each stage's contribution.

Orders of incremental training share prefixes, so they are no replicates. Effects are estimated within a seed, where
they describe the orders that were run, and only their spread over seeds gives an interval.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.analysis.orders import BITS, EXCLUSIVE, Order, Orders, Values, incremental_orders
from raysim.analysis.results import Measure, RunResults
from raysim.analysis.statistics import t_interval
from raysim.tables.io import schema

MIN_REGRESSED = 4
"""Below four organizations the regression has about as many coefficients as there are orders."""
UNITS = {"bits_per_byte": "bits per byte", "exclusive": "lines a prompt", "covered_eligible": "lines a prompt"}
_ESTIMABLE = 1e-9
"""How far rounding may move the diagonal of a projection from 1."""


@dataclass(frozen=True)
class Term:
    """What an effect is of.

    Attributes:
        method: position, predecessor, precedence, pairwise or shapley.
        organization: the organization a.
        other: the organization b that a comes before, or '' where the method knows none.
        position: the place of a, from 1; only of the method 'position'.
    """

    method: str
    organization: str
    other: str = ""
    position: int | None = None

    @property
    def text(self) -> str:
        if self.position is not None:
            return f"{self.organization} at {self.position}"
        if not self.other:
            return self.organization
        return f"{self.organization} {'right before' if self.method == 'predecessor' else 'before'} {self.other}"


@dataclass(frozen=True)
class Effect:
    """One effect within one seed; see the table `order_effects` for `n` and `r_squared`."""

    term: Term
    estimate: float
    n: int
    r_squared: float | None = None


def all_terms(organizations: Sequence[str]) -> list[Term]:
    """Every term that a complete set of orders identifies."""
    positions = range(1, len(organizations) + 1)
    terms = [Term("position", a, position=k) for a in organizations for k in positions]
    terms += [Term("predecessor", a, b) for a, b in permutations(organizations, 2)]
    terms += [Term("precedence", a, b) for a, b in combinations(organizations, 2)]
    if len(organizations) >= MIN_REGRESSED:
        terms += [Term("pairwise", a, b) for a, b in combinations(organizations, 2)]
    return [*terms, *(Term("shapley", a) for a in organizations)]


def position_effects(values: Values, organizations: Sequence[str]) -> list[Effect]:
    """Mean over the orders with an organization at a position, minus the mean over all orders.

    The view of the component-position model (Yang, Sun and Xu, "A component-position model, analysis and design for
    order-of-addition experiments", Technometrics 63, 2021), as marginal means: over all orders of m organizations they
    are m / (m - 1) times that model's effects, if those sum to zero over positions and over organizations. Over some of
    the orders they mix with the places of the others.
    """
    found: list[Effect] = []
    for a in organizations:
        share = _explained(values, lambda order, a=a: order.index(a))
        for k in range(len(organizations)):
            chosen = [value for order, value in values.items() if order[k] == a]
            if 0 < len(chosen) < len(values):
                term = Term("position", a, position=k + 1)
                found.append(Effect(term, _gap(chosen, values), len(chosen), share))
    return found


def predecessor_effects(values: Values, organizations: Sequence[str]) -> list[Effect]:
    """Mean over the orders with b trained right after a, minus the mean over all orders.

    With a's memorization as the measure: what is left of it if b is what was trained next.
    """
    found: list[Effect] = []
    for a, b in permutations(organizations, 2):
        chosen = [value for order, value in values.items() if (a, b) in pairwise(order)]
        if 0 < len(chosen) < len(values):
            share = _explained(values, lambda order, a=a: dict(pairwise(order)).get(a))
            found.append(Effect(Term("predecessor", a, b), _gap(chosen, values), len(chosen), share))
    return found


def precedence_effects(values: Values, organizations: Sequence[str]) -> list[Effect]:
    """Mean over the orders with b trained somewhere after a, minus the mean over those with it before."""
    found: list[Effect] = []
    for a, b in combinations(organizations, 2):
        chosen = [value for order, value in values.items() if order.index(a) < order.index(b)]
        others = [value for order, value in values.items() if order.index(a) > order.index(b)]
        if chosen and others:
            share = _explained(values, lambda order, a=a, b=b: order.index(a) < order.index(b))
            gap = float(np.mean(chosen) - np.mean(others))
            found.append(Effect(Term("precedence", a, b), gap, len(values), share))
    return found


def pairwise_regression(values: Values, organizations: Sequence[str]) -> list[Effect]:
    """Coefficients of the pair-wise ordering model, by least squares; those that the orders do not identify are out.

    y = b0 + sum over j < k of b_jk z_jk, with z_jk = +1 where j is trained before k and -1 where after (Van Nostrand,
    "Design of experiments where the order of addition is important", ASA Proceedings of the Section on Physical and
    Engineering Sciences, 1995; Peng, Mukerjee and Lin, "Design of order-of-addition experiments", Biometrika 106,
    2019). So twice a coefficient is the change from k before j to j before k, all other pairs held still. A coefficient
    is identified if its unit vector lies in the row space of the design.
    """
    if len(organizations) < MIN_REGRESSED or not values:
        return []
    pairs = list(combinations(organizations, 2))
    design = np.array([[1.0, *(1 if o.index(j) < o.index(k) else -1 for j, k in pairs)] for o in values])
    y = np.array(list(values.values()))
    inverse = np.linalg.pinv(design)
    projection = inverse @ design
    coefficients = inverse @ y
    residual = float(np.sum((y - design @ coefficients) ** 2))
    free = len(y) - int(np.linalg.matrix_rank(design))
    share = None if free < 1 or _constant(y) else 1 - residual / float(np.sum((y - y.mean()) ** 2))
    return [
        Effect(Term("pairwise", j, k), float(coefficients[i]), len(y), share)
        for i, (j, k) in enumerate(pairs, start=1)
        if abs(projection[i, i] - 1) < _ESTIMABLE
    ]


def attribution(courses: Mapping[Order, Sequence[float]], organizations: Sequence[str]) -> list[Effect]:
    """How much an organization's stage changes the measure, averaged over orders; they sum to final minus initial.

    The value of Nowak and Radzik ("The Shapley value for n-person games in generalized characteristic function form",
    Games and Economic Behavior 6, 1994), where the worth of a coalition depends on the order in which it formed; in
    the setting of Data Shapley (Ghorbani and Zou, ICML 2019), a coalition is the data trained on so far, and the
    initial model is the empty one. Exact over all orders; over some of them a mean over those alone.

    Args:
        courses: for each order the measure after 0, 1, ... and all stages.
        organizations: whose contributions.
    """
    if not courses:
        return []
    changes: dict[str, list[float]] = {a: [] for a in organizations}
    for order, course in courses.items():
        for a, (before, after) in zip(order, pairwise(course), strict=True):
            changes[a].append(after - before)
    return [Effect(Term("shapley", a), float(np.mean(changes[a])), len(courses)) for a in organizations]


def effects_table(results: RunResults) -> pa.Table:
    """The table `order_effects`."""
    rows: list[dict[str, Any]] = []
    for orders in incremental_orders(results):
        for measure in (BITS, EXCLUSIVE, *(("covered_eligible", owner) for owner in orders.organizations)):
            by_term: dict[Term, list[Effect]] = {}
            for found in seed_effects(results, orders, measure):
                for effect in found:
                    by_term.setdefault(effect.term, []).append(effect)
            rows += [_row(orders.strategy, measure, term, effects) for term, effects in by_term.items()]
    return pa.Table.from_pylist(rows, schema("order_effects"))


def seed_effects(results: RunResults, orders: Orders, measure: Measure) -> list[list[Effect]]:
    """The effects on a measure in each seed."""
    finals, courses = orders.finals(results, measure), orders.courses(results, measure)
    of_finals = (position_effects, predecessor_effects, precedence_effects, pairwise_regression)
    found: list[list[Effect]] = []
    for seed in orders.paths:
        effects = [effect for make in of_finals for effect in make(finals[seed], orders.organizations)]
        found.append(effects + attribution(courses[seed], orders.organizations))
    return found


def _row(strategy: str, measure: Measure, term: Term, effects: Sequence[Effect]) -> dict[str, Any]:
    estimates = [effect.estimate for effect in effects]
    low, high = t_interval(estimates) if len(estimates) > 1 else (None, None)
    shares = [effect.r_squared for effect in effects if effect.r_squared is not None]
    return {
        "strategy": strategy,
        "measure": measure[0],
        "owner": measure[1],
        "method": term.method,
        "term": term.text,
        "organization": term.organization,
        "other": term.other,
        "position": term.position,
        "estimate": float(np.mean(estimates)),
        "low": low,
        "high": high,
        "unit": UNITS[measure[0]],
        "seeds": len(effects),
        "n": sum(effect.n for effect in effects),
        "r_squared": float(np.mean(shares)) if shares else None,
    }


def _gap(chosen: Sequence[float], values: Values) -> float:
    return float(np.mean(chosen) - np.mean(list(values.values())))


def _explained(values: Values, group_of: Callable[[Order], Hashable]) -> float | None:
    """Share of the variance that lies between groups of orders; None where nothing varies or no group has two."""
    groups: dict[Hashable, list[float]] = {}
    for order, value in values.items():
        groups.setdefault(group_of(order), []).append(value)
    y = np.array(list(values.values()))
    if _constant(y) or len(groups) == len(y):
        return None
    between = sum(len(group) * (np.mean(group) - y.mean()) ** 2 for group in groups.values())
    return float(between / np.sum((y - y.mean()) ** 2))


def _constant(y: np.ndarray) -> bool:
    return not len(y) or bool(np.ptp(y) <= 1e-12 * np.max(np.abs(y)))
