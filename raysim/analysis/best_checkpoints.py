"""The best checkpoint of each setting by validation loss beside its last, so that overfitting is seen."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import pyarrow as pa

from raysim.analysis.reached_models import IN_TURN, ReachedModel
from raysim.analysis.results import RunResults
from raysim.tables.io import schema

_MOMENTS = ("round", "epoch")


def best_checkpoints_table(results: RunResults) -> pa.Table:
    """The table `best_checkpoints` of a run."""
    paths: dict[tuple[str, str, int], list[ReachedModel]] = {}
    for m in results.reached_models:
        if m.family not in IN_TURN and m.moment in _MOMENTS and _bits(results, m) is not None:
            paths.setdefault((m.strategy, m.order, m.seed), []).append(m)
    rows = [_row(results, sorted(path, key=lambda m: m.index)) for path in paths.values() if len(path) > 1]
    return pa.Table.from_pylist(rows, schema("best_checkpoints"))


def best_on_validation(results: RunResults, path: Iterable[ReachedModel]) -> ReachedModel | None:
    """The first model of a path with the smallest loss on validation files; None where none has a number."""
    known = [(bits, m) for m in path if (bits := _bits(results, m)) is not None]
    return min(known, key=lambda one: one[0])[1] if known else None


def _row(results: RunResults, path: list[ReachedModel]) -> dict[str, Any]:
    best, last = best_on_validation(results, path), path[-1]
    assert best is not None
    row: dict[str, Any] = {
        "strategy": last.strategy,
        "order": last.order,
        "seed": last.seed,
        "moment": last.moment,
        "checkpoints": len(path),
    }
    for name, m in (("best", best), ("last", last)):
        row |= {
            name: m.index,
            f"{name}_model": m.model,
            f"{name}_bits_per_byte": _bits(results, m),
            f"{name}_exclusive": results.measures(m.model).get(("exclusive", "")),
            f"{name}_test_bits_per_byte": _bits(results, m, "test_bits_per_byte"),
        }
    return row


def _bits(results: RunResults, m: ReachedModel, measure: str = "bits_per_byte") -> float | None:
    """Of the organization that a model is of alone, else of all together."""
    of = m.members[0] if len(m.members) == 1 else ""
    value = results.measures(m.model).get((measure, of))
    return value if value is not None and isfinite(value) else None
