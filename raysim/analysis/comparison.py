"""What differs between runs, or points of a sweep: each setting, and each contrast of the findings, beside the first.

Differences are paired: over the same seeds, and over the validation files and prompts that two runs have in common.
A contrast of the findings that shifts, such as F3's, says what an option of the experiment does to a finding.
"""

from collections.abc import Mapping, Sequence
from math import log

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.analysis.arms import exclusive_lines, given, is_whole, measured
from raysim.analysis.contrasts import all_contrasts
from raysim.analysis.estimates import Estimate, estimates
from raysim.analysis.paired import Contrast, Ratio
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats
from raysim.tables.io import schema

LOSS, LINES = "bits per byte", "exclusive lines a prompt"


def comparison_table(runs: Sequence[tuple[str, RunResults]], findings: bool = True) -> pa.Table:
    """The table `comparison`: every run but the first beside the first.

    Args:
        runs: names and results; the first is what the others are compared with.
        findings: whether contrasts of the findings are compared, or settings alone.
    """
    (base, first), *others = runs
    rows = [row for name, results in others for row in _rows(base, first, name, results, findings)]
    return pa.Table.from_pylist(rows, schema("comparison"))


def _rows(base: str, first: RunResults, name: str, other: RunResults, findings: bool) -> list[dict[str, object]]:
    places = {"prompts": _prompts_in(first, other), "files": _files_in(first, other)}
    contrasts = _setting_contrasts(first, other, places)
    contrasts += _finding_contrasts(first, other, places) if findings else []
    prompts = first.prompts
    found = estimates(contrasts, prompts, prompts.repositories, first.losses)
    return [{"run": name, "baseline": base, **_row(estimate)} for estimate in found]


def _row(estimate: Estimate) -> dict[str, object]:
    low, high = estimate.interval()
    return {
        "finding": estimate.finding,
        "what": estimate.name,
        "setting": estimate.arm,
        "difference": _known(estimate.mean),
        "low": _known(low),
        "high": _known(high),
        "unit": estimate.unit,
        "seeds": len(estimate.seeds),
        "items": min(estimate.sizes),
        "note": estimate.note,
    }


Places = npt.NDArray[np.int64]
"""For each item of the first run its place among the other's; -1: the other has none."""


def _prompts_in(first: RunResults, other: RunResults) -> Places:
    index = {key: i for i, key in enumerate(other.prompts.prompts)}
    return np.array([index.get(key, -1) for key in first.prompts.prompts], np.int64)


def _files_in(first: RunResults, other: RunResults) -> Places:
    """Validation files of one name count as the same where they have as many bytes: tokens depend on the tokenizer."""

    def named(results: RunResults) -> list[tuple[str, str, int]]:
        arrays = results.losses
        size = arrays.bytes.max(axis=0, initial=0).tolist()
        return list(zip(arrays.organizations, arrays.files, size, strict=True))

    index = {file: i for i, file in enumerate(named(other))}
    return np.array([index.get(file, -1) for file in named(first)], np.int64)


def _taken(values: Floats, places: Places) -> Floats:
    """Values of the other run, in the order of the first run's items; 0 for what it lacks."""
    if not len(values):
        return np.zeros(len(places))
    return np.where(places >= 0, values[places], 0.0)


def _setting_contrasts(first: RunResults, other: RunResults, places: Mapping[str, Places]) -> list[Contrast]:
    """Settings that both runs have under one label: loss on the joint validation split, and lines given away."""
    found: list[Contrast] = []
    sides = [_by_label(results) for results in (first, other)]
    for label, seed in sides[0]:
        if (label, seed) not in sides[1]:
            continue
        ours, theirs = (side[label, seed] for side in sides)
        for name, unit, axis, make in ((LOSS, LOSS, "files", _losses), (LINES, "lines a prompt", "prompts", _lines)):
            one, two = make(first, ours), make(other, theirs)
            if one is None or two is None:
                continue
            statistic = _shift(one, two, places[axis])
            found.append(Contrast("", name, seed, unit, axis, statistic, arm=label))
    return found


def _by_label(results: RunResults) -> dict[tuple[str, int], list[ReachedModel]]:
    groups: dict[tuple[str, int], list[ReachedModel]] = {}
    for m in finals(results.reached_models):
        if m.family == "base" or is_whole(results, m):  # one without an organization is another model
            groups.setdefault((m.strategy, m.seed), []).append(m)
    return groups


def _losses(results: RunResults, models: Sequence[ReachedModel]) -> Ratio | None:
    """Bits over bytes of each validation file, averaged over orders or organizations."""
    arrays = results.losses
    rows = [arrays.model_index[m.model] for m in models if m.model in arrays.model_index]
    if not rows:
        return None
    used = np.all(arrays.tokens[rows] > 0, axis=0)
    bits = arrays.nats[rows].mean(axis=0) / log(2)
    return Ratio(np.where(used, bits, 0.0), np.where(used, arrays.bytes[rows[0]], 0).astype(np.float64))


def _lines(results: RunResults, models: Sequence[ReachedModel]) -> Ratio | None:
    reached = measured(results, models)
    if not reached:
        return None
    used = given(results, reached) * results.prompts.from_training
    return Ratio(exclusive_lines(results, reached, None) * used, used)


def _finding_contrasts(first: RunResults, other: RunResults, places: Mapping[str, Places]) -> list[Contrast]:
    """Contrasts of the findings that both runs have: by how much they shift."""
    theirs = {(c.finding, c.name, c.arm, c.seed): c for found in all_contrasts(other).values() for c in found.contrasts}
    shifts: list[Contrast] = []
    for found in all_contrasts(first).values():
        for ours in found.contrasts:
            match = theirs.get((ours.finding, ours.name, ours.arm, ours.seed))
            if match is None or not isinstance(ours.statistic, Ratio) or not isinstance(match.statistic, Ratio):
                continue
            statistic = _shift(ours.statistic, match.statistic, places[ours.axis])
            shifts.append(Contrast(ours.finding, ours.name, ours.seed, ours.unit, ours.axis, statistic, arm=ours.arm))
    return shifts


def _shift(ours: Ratio, theirs: Ratio, places: Places) -> Ratio:
    """The other's ratio minus the first's, over the items that count as much in both."""
    numerators, denominators = _taken(theirs.numerators, places), _taken(theirs.denominators, places)
    used = (ours.denominators > 0) & np.isclose(ours.denominators, denominators)
    return Ratio(np.where(used, numerators - ours.numerators, 0.0), np.where(used, ours.denominators, 0.0))


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
