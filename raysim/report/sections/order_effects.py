"""The effects of the order as tables for the page, and what had to be left out of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import factorial
from typing import Any

from raysim.analysis.order_effects import Term, all_terms
from raysim.analysis.orders import Orders
from raysim.analysis.results import Measure

NUM_NAMED = 6
"""Effects that could not be estimated are named up to this number, and counted in all."""


@dataclass(frozen=True)
class EffectCell:
    """One effect: its text, its interval over seeds if there is one, and its tint from -1 (less) to 1 (more)."""

    text: str = ""
    spread: str = ""
    tint: float = 0.0


@dataclass(frozen=True)
class EffectTable:
    """A table of effects.

    Attributes:
        corner: what the rows are.
        groups: what the columns share, with the number of columns.
        columns: their names.
        rows: a name and its cells.
    """

    corner: str
    groups: list[tuple[str, int]]
    columns: list[str]
    rows: list[tuple[str, list[EffectCell]]]

    @property
    def starts(self) -> list[int]:
        """The columns with which a group after the first one begins."""
        return list(accumulate(count for _, count in self.groups))[:-1]


class EffectTables:
    """The effects of one setting, by measure and term."""

    def __init__(self, orders: Orders, effects: Iterable[dict[str, Any]]) -> None:
        self._orders = orders
        self._names = orders.organizations
        self._rows: dict[tuple[Measure, Term], dict[str, Any]] = {}
        for row in effects:
            if row["strategy"] == orders.strategy:
                term = Term(row["method"], row["organization"], row["other"], row["position"])
                self._rows[(row["measure"], row["owner"]), term] = row
        every: list[Measure] = [("bits_per_byte", ""), ("exclusive", "")]
        every += [("covered_eligible", owner) for owner in self._names]
        taken = {measure for measure, _ in self._rows}
        self._measures = [measure for measure in every if measure in taken]

    def positions(self) -> EffectTable | None:
        """By position: bits per byte, and covered lines of the organization at that place."""
        parts = [
            ("bits per byte of the final model", lambda _: ("bits_per_byte", "")),
            ("its own covered lines an eligible prompt", lambda owner: ("covered_eligible", owner)),
        ]
        count = len(self._names)
        places = ["first", *(str(k) for k in range(2, count)), "last"]

        def of(name: str, k: int) -> tuple[Term, int]:
            return Term("position", name, position=k + 1), 1

        return self._table("Organization", parts, places, of)

    def followers(self, measure_of: Callable[[str], Measure]) -> EffectTable | None:
        """By who is trained after a row's organization: right after it, and anywhere after it instead of before."""

        def directly(name: str, k: int) -> tuple[Term, int]:
            return Term("predecessor", name, self._names[k]), 1

        def anywhere(name: str, k: int) -> tuple[Term, int]:
            first, second = sorted((name, self._names[k]), key=self._names.index)
            return Term("precedence", first, second), 1 if first == name else -1

        names = list(self._names)
        right = self._table("Organization", [("right after it", measure_of)], names, directly, explained=False)
        later = self._table("Organization", [("anywhere after it, not before", measure_of)], names, anywhere, False)
        if right is None or later is None:
            return None
        rows = [(name, one + other) for (name, one), (_, other) in zip(right.rows, later.rows, strict=True)]
        for i, (_, cells) in enumerate(rows):
            cells[i] = cells[len(names) + i] = EffectCell()  # an organization does not follow itself
        return EffectTable(right.corner, right.groups + later.groups, right.columns + later.columns, rows)

    def by_measure(self, method: str, corner: str, with_sum: bool = False) -> EffectTable | None:
        """A row a term of a method, a column a measure."""
        terms = [term for term in all_terms(self._names) if term.method == method]
        measures = [m for m in self._measures if any((m, term) in self._rows for term in terms)]
        if not measures:
            return None
        columns = [self._column(measure, terms) for measure in measures]
        rows = [(term.text, [column[i] for column in columns]) for i, term in enumerate(terms)]
        known = [[self._rows[m, term] for term in terms if (m, term) in self._rows] for m in measures]
        if with_sum:
            sums = [sum(row["estimate"] for row in found) for found in known]
            rows.append(("final − initial", [EffectCell(_signed(s, m)) for s, m in zip(sums, measures, strict=True)]))
        else:
            shares = [found[0]["r_squared"] for found in known]
            rows.append(("variance explained", [EffectCell(_percent(share)) for share in shares]))
        owned = sum(1 for measure in measures if measure[1])
        groups = [("", len(measures) - owned), ("covered lines an eligible prompt, owned by", owned)]
        labels = {"bits_per_byte": "bits per byte", "exclusive": "exclusive lines a prompt"}
        return EffectTable(corner, [g for g in groups if g[1]], [m[1] or labels[m[0]] for m in measures], rows)

    def notes(self) -> list[str]:
        """What was left out, and why."""
        found: list[str] = []
        left_out = self._orders.num_left_out
        if left_out:
            verb = "orders do" if left_out > 1 else "order does"
            found.append(f"{left_out} {verb} not name every organization of the run, and are not compared here.")
        wanted = [term for term in all_terms(self._names) if term.method != "shapley"]
        missing = [t for t in wanted if any((measure, t) not in self._rows for measure in self._measures)]
        if missing and len(self._orders.names) > 1:
            shown = ", ".join(f"{term.text} ({term.method})" for term in missing[:NUM_NAMED])
            more = f", and {len(missing) - NUM_NAMED} more" if len(missing) > NUM_NAMED else ""
            noun = "effects are" if len(missing) > 1 else "effect is"
            found.append(f"{len(missing)} {noun} not identified by the orders that were run: {shown}{more}.")
        staged = {measure: row for (measure, term), row in self._rows.items() if term.method == "shapley"}
        if any(measure not in staged for measure in self._measures):
            found.append(
                "Contributions to a measure need it after every stage, the initial model included: "
                "for memorization, `when: every_stage`."
            )
        if any(row["n"] < factorial(len(self._names)) * row["seeds"] for row in staged.values()):
            found.append("Contributions are means over the orders that were run; only all orders make them exact.")
        return found

    def _table(
        self,
        corner: str,
        parts: Sequence[tuple[str, Callable[[str], Measure]]],
        columns: list[str],
        term_of: Callable[[str, int], tuple[Term, int]],
        explained: bool = True,
    ) -> EffectTable | None:
        """A row an organization; for each part, measured for the row's organization, a column for each k."""
        rows: list[tuple[str, list[EffectCell]]] = [(name, []) for name in self._names]
        groups: list[tuple[str, int]] = []
        labels: list[str] = []
        for title, measure_of in parts:
            cells: list[list[tuple[dict[str, Any] | None, int]]] = []
            for name in self._names:
                terms = [term_of(name, k) for k in range(len(columns))]
                cells.append([(self._rows.get((measure_of(name), term)), sign) for term, sign in terms])
            top = max((abs(row["estimate"]) for line in cells for row, _ in line if row), default=None)
            if top is None:
                continue
            groups.append((title, len(columns) + explained))
            labels += columns + ["explained"] * explained
            for (_, shown), line in zip(rows, cells, strict=True):
                shown += [_cell(row, sign, top) for row, sign in line]
                if explained:
                    shares = [row["r_squared"] for row, _ in line if row and row["r_squared"] is not None]
                    shown.append(EffectCell(_percent(shares[0] if shares else None)))
        return EffectTable(corner, groups, labels, rows) if groups else None

    def _column(self, measure: Measure, terms: Sequence[Term]) -> list[EffectCell]:
        rows = [self._rows.get((measure, term)) for term in terms]
        top = max(abs(row["estimate"]) for row in rows if row)
        return [_cell(row, 1, top) for row in rows]


def _cell(row: dict[str, Any] | None, sign: int, top: float) -> EffectCell:
    if row is None:
        return EffectCell("–")
    measure = (row["measure"], row["owner"])
    ends = sorted(sign * row[end] for end in ("low", "high") if row[end] is not None)
    spread = f"{_signed(ends[0], measure)} to {_signed(ends[1], measure)}" if ends else ""
    estimate = sign * row["estimate"]
    return EffectCell(_signed(estimate, measure), spread, round(estimate / top, 3) if top else 0.0)


def _signed(value: float, measure: Measure) -> str:
    digits = 3 if measure[0] == "bits_per_byte" else 2
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
