"""The front: what each mitigation costs in quality and spares in leaked lines, beside the experiment as it is.

Differences are those of `raysim.analysis.comparison`: paired over seeds, and over the files and prompts that both have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from raysim.analysis.arms import is_whole
from raysim.analysis.comparison import LINES, LOSS, comparison_table
from raysim.analysis.reached_models import NOT_JOINED, ReachedModel
from raysim.analysis.results import Row, RunResults
from raysim.analysis.sweep import SweepResults
from raysim.experiment.points import PARAMETER
from raysim.mitigations.registry import BASELINE
from raysim.tables.io import schema


@dataclass(frozen=True)
class Choice:
    """A setting under a mitigation; see the table `front` for the fields."""

    mitigation: str
    strategy: str
    family: str
    changed: bool
    seeds: int
    bits_per_byte: float | None
    bits_more: float | None
    bits_low: float | None
    bits_high: float | None
    exclusive: float | None
    lines_more: float | None
    lines_low: float | None
    lines_high: float | None
    prompts: int | None
    renamed: float | None
    tokens_seen: int
    dominated_by: str = ""

    def beats(self, other: "Choice") -> bool:
        """Whether it has no greater loss and gives away no more lines, by whatever names, and one of these is less."""
        pairs = [
            (self.bits_per_byte, other.bits_per_byte),
            (self.exclusive, other.exclusive),
            *([] if self.renamed is None and other.renamed is None else [(self.renamed, other.renamed)]),
        ]
        known = [(own, theirs) for own, theirs in pairs if own is not None and theirs is not None]
        if len(known) < len(pairs):
            return False
        return all(own <= theirs for own, theirs in known) and any(own < theirs for own, theirs in known)


def compares_mitigations(sweep: SweepResults) -> bool:
    """Whether the points of a sweep are an experiment as it is and under mitigations."""
    return list(sweep.parameters) == [PARAMETER]


def choices(sweep: SweepResults) -> list[Choice]:
    """Every setting over all organizations at every point that has begun, by setting, the baseline first."""
    begun = [(point.name, results) for point, results in sweep.begun]
    baseline = dict(begun).get(BASELINE)
    if baseline is None:
        return []
    # Models that are asked in another way, as with an output filter, are the same and give away other lines.
    plain = {row.strategy: (_keys(models), row.cells) for row, models in _whole(baseline)}
    if not plain:  # it has diverged, or reached nothing yet
        return []
    runs = [(BASELINE, baseline), *((name, results) for name, results in begun if name != BASELINE)]
    shifts = _shifts(comparison_table(runs, findings=False))
    found: dict[str, list[Choice]] = {strategy: [] for strategy in plain}
    for name, results in begun:
        for row, models in _whole(results):
            changed = name != BASELINE and (_keys(models), row.cells) != plain.get(row.strategy)
            found.setdefault(row.strategy, []).append(_choice(name, row, models, changed, shifts))
    return [choice for group in found.values() for choice in _dominated(group)]


def front_table(found: Iterable[Choice]) -> pa.Table:
    """The table `front` of these choices."""
    return pa.Table.from_pylist([asdict(choice) for choice in found], schema("front"))


def _whole(results: RunResults) -> list[tuple[Row, list[ReachedModel]]]:
    """The settings over all organizations that others may join, with their final models."""
    return [
        (row, models)
        for row, models in results.final_groups()
        if row.family not in (*NOT_JOINED, "base") and all(is_whole(results, m) for m in models)
    ]


def _keys(models: Iterable[ReachedModel]) -> list[str]:
    return sorted(m.model for m in models)


def _shifts(comparison: pa.Table) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Rows of the comparison, by run, setting and measure."""
    return {(row["run"], row["setting"], row["what"]): row for row in comparison.to_pylist()}


def _choice(
    name: str,
    row: Row,
    models: list[ReachedModel],
    changed: bool,
    shifts: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> Choice:
    bits, lines = (shifts.get((name, row.strategy, what), {}) for what in (LOSS, LINES))
    return Choice(
        mitigation=name,
        strategy=row.strategy,
        family=row.family,
        changed=changed,
        seeds=row.num_seeds,
        bits_per_byte=row.mean("bits_per_byte"),
        bits_more=bits.get("difference"),
        bits_low=bits.get("low"),
        bits_high=bits.get("high"),
        exclusive=row.mean("exclusive"),
        lines_more=lines.get("difference"),
        lines_low=lines.get("low"),
        lines_high=lines.get("high"),
        prompts=lines.get("items"),
        renamed=row.mean("renamed"),
        tokens_seen=round(sum(m.tokens for m in models) / len(models)),
    )


def _dominated(group: list[Choice]) -> list[Choice]:
    """The choices of one setting, each with what beats it, if anything does; the best of these by loss."""
    rivals = [choice for choice in group if choice.changed or choice.mitigation == BASELINE]
    found = []
    for choice in group:
        better = [other for other in rivals if other.beats(choice)] if choice in rivals else []
        first = min(better, key=lambda other: (other.bits_per_byte or 0.0, other.mitigation), default=None)
        found.append(replace(choice, dominated_by=first.mitigation if first else ""))
    return found
