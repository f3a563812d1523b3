"""What the report says of checkpoints: the best on validation beside the last, from the table `best_checkpoints`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class BestLine:
    """One setting, averaged over seeds, as text.

    Attributes:
        best, last: which round or epoch: one, or a range over seeds.
        bits, exclusive, test: of the best and of the last; '–' where not measured.
        later: bits per byte that the last is worse than the best.
    """

    setting: str
    best: str
    last: str
    bits: tuple[str, str]
    exclusive: tuple[str, str]
    test: tuple[str, str]
    later: str


def best_beside_last(rows: Iterable[Mapping[str, Any]]) -> list[BestLine]:
    """A line a setting; models of one organization alone are settings of their own."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["strategy"], row["order"]), []).append(row)
    several = {strategy for strategy, _ in groups if sum(strategy == other for other, _ in groups) > 1}
    return [
        _line(f"{strategy}: {order}" if strategy in several else strategy, group)
        for (strategy, order), group in groups.items()
    ]


def _line(setting: str, rows: Sequence[Mapping[str, Any]]) -> BestLine:
    def both(measure: str, digits: int) -> tuple[str, str]:
        one, other = (_mean([row[f"{which}_{measure}"] for row in rows], digits) for which in ("best", "last"))
        return one, other

    worse = float(np.mean([row["last_bits_per_byte"] - row["best_bits_per_byte"] for row in rows]))
    return BestLine(
        setting,
        _places(rows, "best"),
        _places(rows, "last"),
        both("bits_per_byte", 3),
        both("exclusive", 2),
        both("test_bits_per_byte", 3),
        f"{worse:+.3f}" if round(worse, 3) else "0.000",
    )


def _places(rows: Sequence[Mapping[str, Any]], which: str) -> str:
    low, high = min(row[which] for row in rows), max(row[which] for row in rows)
    return f"{rows[0]['moment']} {low}" if low == high else f"{rows[0]['moment']}s {low} to {high}"


def _mean(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.{digits}f}" if len(known) == len(values) else "–"
