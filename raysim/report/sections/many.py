"""What the report shows of very many organizations in place of a line for each: their spread, and the extremes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from raysim.analysis.gains import Gain
from raysim.analysis.results import RunResults
from raysim.report.sections.overview import quantity

LISTED = 30
"""Organizations that have a line each; of more, tables have all."""


def are_many(results: RunResults) -> bool:
    return len(results.organizations) > LISTED


def extremes(found: Sequence[Gain]) -> set[str]:
    """Organizations to show of those that `found` is about: if they are too many, whose best gain is least and most.

    Those without a gain come last, in their order.
    """
    best: dict[str, float | None] = {}
    for gain in found:
        known = [value for value in (best.get(gain.organization), gain.reported.gain) if value is not None]
        best[gain.organization] = max(known, default=None)
    if len(best) <= LISTED:
        return set(best)
    ranked = sorted((name for name in best if best[name] is not None), key=lambda name: best[name] or 0.0)
    half = LISTED // 2
    chosen = [*ranked[:half], *ranked[half:][-half:]]
    return {*chosen, *[name for name in best if best[name] is None][: LISTED - len(chosen)]}


def gain_spread(found: Sequence[Gain]) -> list[list[str]]:
    """For each setting: how many organizations have a gain over training alone, in how many it is one beyond doubt,
    in how many a loss, and lowest, quartiles and highest."""
    rows: list[list[str]] = []
    for setting in dict.fromkeys(gain.strategy for gain in found):
        known = [gain for gain in found if gain.strategy == setting and gain.reported.gain is not None]
        if known:
            sure = [str(sum(gain.verdict == verdict for gain in known)) for verdict in ("gains", "loses")]
            values = _spread([gain.reported.gain for gain in known if gain.reported.gain is not None])
            rows.append([setting, str(len(known)), *sure, *(f"{value:+.3f}".replace("-", "−") for value in values)])
    return rows


def corpora_spread(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """For each split and measure of size: the sum over organizations, and lowest, quartiles and highest."""
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_split.setdefault(row["split"], []).append(row)
    return [
        [split, str(len(group)), name, *(quantity(v, unit) for v in (sum(values), *_spread(values)))]
        for split, group in by_split.items()
        for name, unit in (("files", ""), ("bytes", "B"), ("tokens", ""))
        if (values := [row[name] for row in group if row[name] is not None])
    ]


def drops_by_reason(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `drops`, one a reason: in place of an organization, how many have lost files for it."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        found = sums.setdefault(row["reason"], [0, 0, 0])
        found[:] = found[0] + 1, found[1] + row["files"], found[2] + row["bytes"]
    return [
        {"organization": f"{count:,} organizations", "reason": reason, "files": files, "bytes": num_bytes}
        for reason, (count, files, num_bytes) in sums.items()
    ]


def _spread(values: Sequence[float]) -> list[float]:
    return [float(value) for value in np.quantile(np.asarray(values, float), [0, 0.25, 0.5, 0.75, 1])]
