"""The seven findings of the study, and the tables `contrasts` and `findings` of a run.

The rules by which a verdict is reached are in `raysim.analysis.verdicts`, the intervals in `raysim.analysis.crossed`;
margins, primary contrasts and arms are settings (`findings:` of the experiment).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.analysis.clone_contrasts import F5_COPIES, F6_CROSS
from raysim.analysis.confounds import NO_OVERLAP, Place, confounds
from raysim.analysis.contrasts import all_contrasts
from raysim.analysis.estimates import MIN_SEEDS, Estimate, estimates
from raysim.analysis.leakage_contrasts import F3_PRIMARIES, F4_LAST, F7_WITHOUT
from raysim.analysis.loss_contrasts import F1_MIX, F1_SIZE, F2_LOSS
from raysim.analysis.paired import Found
from raysim.analysis.results import RunResults
from raysim.analysis.verdicts import (
    INCOMPARABLE,
    INCONCLUSIVE,
    LEVEL,
    NOT_MEASURED,
    ArmVerdict,
    Direction,
    Verdict,
    reach_verdicts,
)
from raysim.experiment.findings_settings import FindingsSettings
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run


@dataclass(frozen=True)
class Finding:
    """One finding and what decides it.

    Attributes:
        topic: two or three words for it.
        direction: sign of the primary contrasts if the finding holds; 'not worse': they lie below the margin.
        primaries: contrasts that must all hold, in every arm.
    """

    name: str
    topic: str
    statement: str
    direction: Direction
    primaries: Callable[[FindingsSettings], tuple[str, ...]]


FINDINGS: tuple[Finding, ...] = (
    Finding(
        "F1",
        "size and diversity",
        "More data, and more diverse data, make the model better.",
        "down",
        lambda settings: tuple({"size": F1_SIZE, "mix": F1_MIX}[name] for name in settings.F1.primaries),
    ),
    Finding(
        "F2",
        "federated is close",
        "Federated training comes close to centralized training.",
        "not worse",
        lambda settings: (F2_LOSS,),
    ),
    Finding(
        "F3",
        "federated leaks less",
        "Federated models memorize less than centralized ones.",
        "down",
        lambda settings: (F3_PRIMARIES[settings.F3.primary],),
    ),
    Finding(
        "F4",
        "the last leaks most",
        "Incremental models memorize the organization trained last most; the order matters.",
        "up",
        lambda settings: (F4_LAST,),
    ),
    Finding(
        "F5",
        "duplicates leak",
        "What is duplicated within an organization is memorized more.",
        "up",
        lambda settings: (F5_COPIES,),
    ),
    Finding(
        "F6",
        "clones across",
        "Clones across organizations are memorized more in centralized and federated models than in incremental ones.",
        "up",
        lambda settings: (F6_CROSS,),
    ),
    Finding(
        "F7",
        "never shown, yet emitted",
        "Even so, federated models emit verbatim fragments of data that they were never shown directly.",
        "up",
        lambda settings: (F7_WITHOUT,),
    ),
)


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
    prompts, files = results.prompts, results.losses
    contrasts = [contrast for one in found.values() for contrast in one.contrasts]
    taken = estimates(contrasts, prompts, prompts.repositories, files)
    settings = results.findings_settings
    rows = [row for estimate in taken for row in _contrast_rows(estimate)]
    verdicts = judge(found, taken, settings, confounds(results, found))
    return pa.Table.from_pylist(rows, schema("contrasts")), pa.Table.from_pylist(verdicts, schema("findings"))


def judge(
    found: dict[str, Found],
    taken: Sequence[Estimate],
    settings: FindingsSettings,
    lines: Mapping[Place, str] | None = None,
) -> list[dict[str, Any]]:
    """The rows of `findings`: of each finding one, and one an arm of those that were measured.

    Args:
        found: the contrasts of each finding.
        taken: their estimates.
        settings: margins, primaries and arms.
        lines: what could overturn each contrast (`raysim.analysis.confounds`).
    """
    lines = lines or {}
    margins: dict[str, float] = {finding.name: getattr(settings, finding.name).margin for finding in FINDINGS}
    known: dict[str, list[Estimate]] = {}
    for finding in FINDINGS:
        primaries = finding.primaries(settings)
        known[finding.name] = [e for e in taken if e.finding == finding.name and e.name in primaries]
    complete = {
        finding.name: known[finding.name]
        for finding in FINDINGS
        if {e.name for e in known[finding.name]} == set(finding.primaries(settings))
        and all(e.finite for e in known[finding.name])
    }
    verdicts = reach_verdicts(complete, {f.name: f.direction for f in FINDINGS}, margins)
    rows: list[dict[str, Any]] = []
    for finding in FINDINGS:
        base = {
            "finding": finding.name,
            "arm": "",
            "statement": finding.statement,
            "contrast": finding.primaries(settings)[0],
            "margin": margins[finding.name],
            "seeds": 0,
            "unit": "",
        }
        incomparable = found[finding.name].incomparable
        if finding.name in verdicts:
            rows += _measured_rows(base, verdicts[finding.name], incomparable, lines)
        else:
            verdict, note = _unmeasured(known[finding.name], found[finding.name])
            apart = {"confound": NO_OVERLAP} if verdict == INCOMPARABLE else {}
            rows.append({**base, **apart, "verdict": verdict, "note": note})
            rows += _incomparable_rows(base, incomparable)
    return rows


def _contrast_rows(estimate: Estimate) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for i, seed in enumerate(estimate.seeds):
        low, high = estimate.interval_within(i)
        rows.append(
            {
                "finding": estimate.finding,
                "contrast": estimate.name,
                "arm": estimate.arm,
                "seed": seed,
                "value": _known(estimate.values[i]),
                "unit": estimate.unit,
                "low": _known(low),
                "high": _known(high),
                "n": estimate.sizes[i],
                "models": estimate.models,
                "note": estimate.note,
            }
        )
    return rows


def _measured_rows(
    base: dict[str, Any], verdict: Verdict, incomparable: dict[str, str], lines: Mapping[Place, str]
) -> list[dict[str, Any]]:
    """The row of a finding, and one an arm; an arm that cannot be compared keeps the finding from holding."""
    apart = {arm.estimate.arm: arm.verdict for arm in verdict.arms}
    apart |= dict.fromkeys(incomparable, INCOMPARABLE)
    differ = len(set(apart.values())) > 1
    notes = []
    if differ:
        notes.append(f"the arms differ: {', '.join(f'{arm} {one}' for arm, one in apart.items())}")
    elif len(apart) > 1:
        notes.append(f"the same for {', '.join(apart)}; shown: {verdict.shown.estimate.arm}")
    shown = _arm_row(base, verdict.shown, lines)
    seeds = shown["seeds"]
    if verdict.p is not None:
        notes.append(f"Holm-adjusted p {verdict.p:.3g}")
    else:
        notes.append(f"a verdict needs {MIN_SEEDS} seeds")
    own = {
        **shown,
        "arm": "",
        "verdict": INCONCLUSIVE if differ else verdict.verdict,
        "p": verdict.p,
        "seeds": seeds,
        "note": "; ".join([*notes, shown["note"]]),
    }
    arms = [_arm_row(base, arm, lines) for arm in verdict.arms if arm.estimate.arm]
    return [own, *arms, *_incomparable_rows(base, incomparable)]


def _incomparable_rows(base: dict[str, Any], incomparable: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {**base, "arm": arm, "verdict": INCOMPARABLE, "confound": NO_OVERLAP, "note": why}
        for arm, why in incomparable.items()
    ]


def _arm_row(base: dict[str, Any], arm: ArmVerdict, lines: Mapping[Place, str]) -> dict[str, Any]:
    estimate = arm.estimate
    low, high = estimate.interval()
    adjusted_low, adjusted_high = estimate.interval(1 - arm.level)
    notes = [estimate.note, f"margin {base['margin']:g} {estimate.unit}"]
    if not estimate.refused and (low > 0 or high < 0) and arm.verdict == INCONCLUSIVE:
        side = "above" if low > 0 else "below"
        notes.insert(0, f"the 95 % interval lies {side} zero, which is not enough for the adjustment or the margin")
    return {
        **base,
        "arm": estimate.arm,
        "verdict": arm.verdict,
        "contrast": estimate.name,
        "value": estimate.mean,
        "low": _known(low),
        "high": _known(high),
        "adjusted_low": _known(adjusted_low),
        "adjusted_high": _known(adjusted_high),
        "p": None if len(estimate.seeds) < MIN_SEEDS else min(1.0, arm.claim.p * LEVEL / arm.level),
        "unit": estimate.unit,
        "seeds": len(estimate.seeds),
        "models": estimate.models,
        "confound": lines.get((estimate.finding, estimate.name, estimate.arm)),
        "note": "; ".join(note for note in notes if note),
    }


def _unmeasured(known: Sequence[Estimate], found: Found) -> tuple[str, str]:
    """The verdict on a finding without numbers, and why it has none."""
    if any(not estimate.finite for estimate in known):
        return NOT_MEASURED, "a model of the comparison has diverged: its loss is no number"
    if found.incomparable and not found.missing:
        return INCOMPARABLE, "; ".join(f"{arm}: {why}" for arm, why in found.incomparable.items())
    add = " and ".join(f"`{line}`" for line in found.missing)
    note = f"to measure it, add {add}" if add else "nothing to compare: it needs more prompts or more orders"
    return NOT_MEASURED, note


def _known(value: float) -> float | None:
    """Null where there is no number: a table has neither NaN nor infinity."""
    return value if np.isfinite(value) else None
