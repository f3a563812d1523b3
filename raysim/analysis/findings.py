"""Verdicts on the seven findings of the study, and the rules by which they are reached.

With at least five seeds: Student's interval over seeds of the primary contrast, p values adjusted by Holm over the
findings that were measured, and a margin below which a difference is of no interest. With fewer, a bootstrap within the
seeds shows a direction at best. An arm that was not run is named, with the line to add.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from raysim.analysis.contrasts import (
    F1_MIX,
    F1_SIZE,
    F2_LOSS,
    F3_EXPOSURE,
    F4_LAST,
    F5_COPIES,
    F6_CROSS,
    F7_WITHOUT,
    all_contrasts,
)
from raysim.analysis.paired import Contrast
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats, cluster_weights, holm, p_above, t_interval
from raysim.core.keys import seed_of
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run

MIN_SEEDS = 5
"""Below five seeds Student's interval has a factor over 3 and says little about the spread between runs."""
MIN_CLUSTERS = 10
"""Fewer repositories than ten make a bootstrap interval too narrow; files are drawn then."""
MIN_FILES = 6
"""Fewer files than six give no interval at all: the redraws would be a handful of values."""
MIN_STRATUM = 5
"""Redraws stay within organizations where each has five repositories or files; one alone would never vary."""
REPLICATES = 2000
LEVEL = 0.05


@dataclass(frozen=True)
class Finding:
    """One finding and what decides it.

    Attributes:
        topic: two or three words for it.
        direction: sign of the primary contrasts if the finding holds; 'none' for equivalence within the margin.
        margin: smallest difference of interest, in the unit of the contrast.
        because: why that margin.
        primaries: contrasts that must all hold.
    """

    name: str
    topic: str
    statement: str
    direction: Literal["up", "down", "none"]
    margin: float
    because: str
    primaries: tuple[str, ...]


FINDINGS: tuple[Finding, ...] = (
    Finding(
        "F1",
        "size and diversity",
        "More data, and more diverse data, make the model better.",
        "down",
        0.02,
        "0.02 bits per byte are about 2 % of the loss of a small code model",
        (F1_SIZE, F1_MIX),
    ),
    Finding(
        "F2",
        "federated is close",
        "Federated training comes close to centralized training.",
        "none",
        0.05,
        "0.05 nats change perplexity by 5 %",
        (F2_LOSS,),
    ),
    Finding(
        "F3",
        "federated leaks less",
        "Federated models memorize less than centralized ones.",
        "down",
        0.1,
        "a tenth of a line a prompt is one six-line window in sixty prompts",
        (F3_EXPOSURE,),
    ),
    Finding(
        "F4",
        "the last leaks most",
        "Incremental models memorize the organization trained last most; the order matters.",
        "up",
        0.1,
        "a tenth of a line a prompt is one six-line window in sixty prompts",
        (F4_LAST,),
    ),
    Finding(
        "F5",
        "duplicates leak",
        "What is duplicated within an organization is memorized more.",
        "up",
        0.05,
        "one prompt in twenty",
        (F5_COPIES,),
    ),
    Finding(
        "F6",
        "clones across",
        "Clones across organizations are memorized more in centralized and federated models than in incremental ones.",
        "up",
        0.02,
        "one sample in fifty",
        (F6_CROSS,),
    ),
    Finding(
        "F7",
        "never shown, yet emitted",
        "Even so, federated models emit verbatim fragments of data that they were never shown directly.",
        "up",
        0.05,
        "one six-line window in 120 prompts",
        (F7_WITHOUT,),
    ),
)


@dataclass(frozen=True)
class Estimate:
    """One contrast over all its seeds: a value and a bootstrap interval a seed, and the interval of their mean."""

    name: str
    unit: str
    note: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    sizes: tuple[int, ...]
    low: float
    high: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def finite(self) -> bool:
        """Whether every seed has a number: a model that has diverged has none."""
        return bool(np.isfinite(self.values).all())


def write_findings(run_dir: Path | str) -> tuple[pa.Table, pa.Table]:
    """Takes all contrasts of a run, reaches the verdicts, and writes both tables into the run folder."""
    results = RunResults(open_run(run_dir))
    contrasts, findings = assess(results)
    write_table(results.run.path, "contrasts", contrasts)
    write_table(results.run.path, "findings", findings)
    return contrasts, findings


def assess(results: RunResults) -> tuple[pa.Table, pa.Table]:
    """The tables `contrasts` and `findings` of a run."""
    found = all_contrasts(results)
    by_finding = {finding: estimates(results, found[finding].contrasts) for finding in found}
    rows: list[dict[str, Any]] = []
    for finding, by_name in by_finding.items():
        for estimate in by_name.values():
            for seed, value, (low, high), n in zip(
                estimate.seeds, estimate.values, estimate.intervals, estimate.sizes, strict=True
            ):
                row = {"finding": finding, "contrast": estimate.name, "seed": seed, "value": _known(value), "n": n}
                interval = {"low": _known(low), "high": _known(high)}
                rows.append({**row, "unit": estimate.unit, **interval, "note": estimate.note})
    adjusted = _adjusted(by_finding)
    verdicts = [
        _verdict(finding, by_finding[finding.name], found[finding.name].missing, adjusted) for finding in FINDINGS
    ]
    return pa.Table.from_pylist(rows, schema("contrasts")), pa.Table.from_pylist(verdicts, schema("findings"))


def estimates(results: RunResults, contrasts: list[Contrast]) -> dict[str, Estimate]:
    """The contrasts over their seeds, by name; those without a prompt or file are left out."""
    groups: dict[str, list[Contrast]] = {}
    for contrast in contrasts:
        if any(contrast.statistic.in_play):
            groups.setdefault(contrast.name, []).append(contrast)
    return {name: _estimate(results, group) for name, group in groups.items()}


def _estimate(results: RunResults, group: list[Contrast]) -> Estimate:
    """The seeds of one contrast share their redraws, so that the interval of their mean keeps the prompts paired."""
    first = group[0]
    in_play = np.any([contrast.statistic.in_play for contrast in group], axis=0)
    weights, drawn = _redraws(results, first, in_play)
    whole = np.ones((1, len(in_play)))
    # Rounded, so that an exact zero is not made a direction by the last bits of a sum.
    values = [round(float(contrast.statistic(whole)[0]), 12) for contrast in group]
    replicates = np.round([contrast.statistic(weights) for contrast in group], 12)
    low, high = _percentiles(replicates.mean(axis=0))
    return Estimate(
        name=first.name,
        unit=first.unit,
        note="; ".join(part for part in (first.note, drawn) if part),
        seeds=tuple(contrast.seed for contrast in group),
        values=tuple(values),
        intervals=tuple(_percentiles(row) for row in replicates),
        sizes=tuple(int(np.sum(contrast.statistic.in_play)) for contrast in group),
        low=low,
        high=high,
    )


def _redraws(results: RunResults, contrast: Contrast, in_play: np.ndarray) -> tuple[Floats, str]:
    """Weights ``[REPLICATES, items]`` of a bootstrap over repositories, or files if they are few, and its name."""
    if contrast.axis == "files":
        strata, clusters, drawn = results.losses.organizations, results.losses.files, "files"
    else:
        strata, clusters, drawn = results.prompts.organizations, results.prompts.repositories, "repositories"
        repositories = {(s, c) for s, c, used in zip(strata, clusters, in_play, strict=True) if used}
        if len(repositories) < MIN_CLUSTERS:
            clusters, drawn = results.prompts.files, "files"
    rng = np.random.Generator(np.random.Philox(seed_of("report", contrast.finding, contrast.name, "bootstrap")))
    items = np.flatnonzero(in_play)
    names = sorted({(strata[i], clusters[i]) for i in items})
    weights = np.zeros((REPLICATES, len(in_play)))
    if len(names) < MIN_FILES:
        return weights, f"{len(names)} {drawn} are too few for an interval"
    sizes = Counter(stratum for stratum, _ in names)
    stratified = min(sizes.values()) >= MIN_STRATUM
    number = {name: str(i) for i, name in enumerate(names)}
    drawable = [number[strata[i], clusters[i]] for i in items]
    weights[:, items] = cluster_weights(rng, drawable, [strata[i] if stratified else "" for i in items], REPLICATES)
    return weights, f"{len(names)} {drawn} redrawn"


def _percentiles(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)


def _tests(finding: Finding, estimate: Estimate) -> tuple[float, float]:
    """p values for and against a finding, each doubled as if two-sided; over at least two seeds."""
    values, margin = estimate.values, finding.margin
    mirrored = [-value for value in values]
    if finding.direction == "none":
        support = max(p_above(values, -margin), p_above(mirrored, -margin))
        against = min(p_above(values, margin), p_above(mirrored, margin))
    else:
        up, down = p_above(values, 0.0), p_above(mirrored, 0.0)
        support, against = (up, down) if finding.direction == "up" else (down, up)
    return min(1.0, 2 * support), min(1.0, 2 * against)


def _adjusted(estimates: dict[str, dict[str, Estimate]]) -> dict[str, tuple[float, float]]:
    """For each finding with all primaries over enough seeds: Holm's p for it and against it.

    A finding with several primaries holds if all do, so its p is the largest; it fails if one does.
    """
    support: dict[str, float] = {}
    against: dict[str, float] = {}
    for finding in FINDINGS:
        known = [estimates[finding.name][name] for name in finding.primaries if name in estimates[finding.name]]
        if len(known) == len(finding.primaries) and all(e.finite and len(e.seeds) >= MIN_SEEDS for e in known):
            tests = [_tests(finding, estimate) for estimate in known]
            support[finding.name] = max(p for p, _ in tests)
            against[finding.name] = min(1.0, len(tests) * min(p for _, p in tests))
    # One family: each finding enters with the smaller of its two p values, and both are scaled by the same factor.
    smaller = {name: min(support[name], against[name]) for name in support}
    scaled = holm(smaller)
    factor = {name: scaled[name] / smaller[name] if smaller[name] else 1.0 for name in smaller}
    return {name: (min(1.0, support[name] * factor[name]), min(1.0, against[name] * factor[name])) for name in smaller}


def _verdict(
    finding: Finding, estimates: dict[str, Estimate], missing: list[str], adjusted: dict[str, tuple[float, float]]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "finding": finding.name,
        "statement": finding.statement,
        "contrast": finding.primaries[0],
        "seeds": 0,
        "unit": "",
    }
    known = [estimates[name] for name in finding.primaries if name in estimates]
    if len(known) < len(finding.primaries):
        add = " and ".join(f"`{line}`" for line in missing)
        note = f"to measure it, add {add}" if add else "nothing to compare: it needs more prompts or more orders"
        return {**row, "verdict": "not measured", "note": note}
    if not all(estimate.finite for estimate in known):
        return {
            **row,
            "verdict": "not measured",
            "note": "a model of the comparison has diverged: its loss is no number",
        }
    shown = known[int(np.argmin([_strength(finding, estimate) for estimate in known]))]
    seeds = min(len(estimate.seeds) for estimate in known)
    low, high = (shown.low, shown.high)
    notes = [shown.note, f"margin {finding.margin:g} {shown.unit} ({finding.because})"]
    if seeds >= MIN_SEEDS:
        low, high = t_interval(shown.values)
        verdict = _by_seeds(finding, known, adjusted[finding.name])
        notes.append(f"Holm-adjusted p {adjusted[finding.name][0]:.3g} for it, {adjusted[finding.name][1]:.3g} against")
    else:
        holds = all(_points_there(finding, estimate) for estimate in known)
        verdict = f"indicated ({seeds} seed{'s' * (seeds != 1)})" if holds else "inconclusive"
        if not holds and any(_points_elsewhere(finding, estimate) for estimate in known):
            notes.append("the interval within the seeds points the other way")
        notes.append(f"a verdict needs {MIN_SEEDS} seeds")
    return {
        **row,
        "verdict": verdict,
        "contrast": shown.name,
        "value": shown.mean,
        "low": _known(low),
        "high": _known(high),
        "unit": shown.unit,
        "seeds": seeds,
        "note": "; ".join(note for note in notes if note),
    }


def _by_seeds(finding: Finding, known: list[Estimate], adjusted: tuple[float, float]) -> str:
    support, against = adjusted
    if finding.direction == "none":
        return "supported" if support < LEVEL else "contradicted" if against < LEVEL else "inconclusive"
    sign = 1 if finding.direction == "up" else -1
    if support < LEVEL and all(sign * estimate.mean > finding.margin for estimate in known):
        return "supported"
    if against < LEVEL and any(sign * estimate.mean < -finding.margin for estimate in known):
        return "contradicted"
    return "inconclusive"


def _known(value: float) -> float | None:
    """Null where there is no number: a table has neither NaN nor infinity."""
    return value if np.isfinite(value) else None


def _strength(finding: Finding, estimate: Estimate) -> float:
    """How far a contrast speaks for the finding; the weakest primary is the one to show."""
    if finding.direction == "none":
        return -abs(estimate.mean)
    return estimate.mean if finding.direction == "up" else -estimate.mean


def _points_there(finding: Finding, estimate: Estimate) -> bool:
    if finding.direction == "none":
        return estimate.low > -finding.margin and estimate.high < finding.margin
    return estimate.low > 0 if finding.direction == "up" else estimate.high < 0


def _points_elsewhere(finding: Finding, estimate: Estimate) -> bool:
    if finding.direction == "none":
        return estimate.low > finding.margin or estimate.high < -finding.margin
    return estimate.high < 0 if finding.direction == "up" else estimate.low > 0
