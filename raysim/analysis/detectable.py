"""The smallest effects that a run could tell from none, before it is run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raysim.analysis.clusters import MIN_CLUSTERS
from raysim.analysis.contrasts import all_contrasts
from raysim.analysis.crossed import Spread
from raysim.analysis.estimates import MIN_SEEDS, Estimate, estimates
from raysim.analysis.findings import FINDINGS
from raysim.analysis.results import RunResults
from raysim.analysis.verdicts import LEVEL
from raysim.core.errors import RaysimError
from raysim.experiment.findings_settings import FindingsSettings
from raysim.experiment.run import Options
from raysim.experiment.sweep import plan
from raysim.tables.results import open_run

POWER = 0.8

ASSUMED: dict[str, tuple[float, float]] = {
    "F1": (4.0, 0.5),
    "F2": (2.0, 0.3),
    "F3": (8.0, 0.5),
    "F4": (8.0, 0.5),
    "F5": (14.0, 0.5),
    "F6": (6.0, 0.5),
    "F7": (8.0, 0.5),
}
"""Standard deviations of a contrast over files and over seeds, in margins, where no run has shown them. They are those
of the simulated studies of docs/methods.md; of F5, of a share in two groups of equal size."""

ON_FILES = ("F1", "F2")
"""Findings on validation files; the others are on prompts."""


@dataclass(frozen=True)
class Detectable:
    """What can be told of a finding.

    Attributes:
        effect: the smallest that is told from none with a chance of 80 %, at the strictest level of the adjustment; in
            the unit of the margin. None: no verdict is possible.
        clusters: files that an interval would rest on.
        seen: whether the spread is that of an earlier run; else it is assumed.
        why: there is no effect.
    """

    finding: str
    effect: float | None
    margin: float
    clusters: int
    seen: bool
    why: str = ""


def plan_with_effects(options: Options) -> dict[str, Any]:
    """What `raysim.experiment.sweep.plan` says, and of a single run the `detectable` effects, as plain values.

    How much contrasts vary is taken from the tables of an earlier run in the folder, if they are there.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    planned = plan(options)
    if "material" not in planned:
        return planned
    material = planned["material"]
    settings = FindingsSettings.model_validate(material["findings"])
    files = {"valid": material["validation_files"], "prompts": min(material["prompts"], material["training_files"])}
    found = detectable(material["seeds"], files, settings, _seen(options.load()[1].path))
    return planned | {"detectable": [asdict(one) for one in found]}


def detectable(
    seeds: int, files: Mapping[str, int], settings: FindingsSettings, seen: Mapping[str, tuple[float, float]]
) -> list[Detectable]:
    """The smallest detectable effect of each finding.

    Args:
        seeds: of the run.
        files: with validation text (`valid`), with `prompts`.
        settings: margins.
        seen: standard deviations over files and seeds of an earlier run, by finding, in the unit of the margin.
    """
    found: list[Detectable] = []
    for finding in FINDINGS:
        margin: float = getattr(settings, finding.name).margin
        clusters = files["valid" if finding.name in ON_FILES else "prompts"]
        over_files, over_seeds = seen.get(finding.name) or (margin * one for one in ASSUMED[finding.name])
        effect, why = None, ""
        if seeds < MIN_SEEDS:
            why = f"a verdict needs {MIN_SEEDS} seeds"
        elif clusters < MIN_CLUSTERS:
            why = f"{clusters} files, {MIN_CLUSTERS} are needed"
        else:
            spread = Spread(0.0, over_seeds**2 / seeds, over_files**2 / clusters, 0.0, seeds, clusters - 1)
            effect = max(margin, smallest_effect(spread))
        found.append(Detectable(finding.name, effect, margin, clusters, finding.name in seen, why))
    return found


def smallest_effect(spread: Spread) -> float:
    """Told from none with a chance of 80 %: as many standard errors as the two quantiles of Student's distribution.

    The level is the strictest of Holm's adjustment over all findings; skewness is left out.
    """
    from scipy.special import stdtrit

    df, level = spread.df, LEVEL / len(FINDINGS)
    return float((stdtrit(df, 1 - level / 2) + stdtrit(df, POWER)) * np.sqrt(spread.variance))


def _seen(folder: Path) -> dict[str, tuple[float, float]]:
    """Standard deviations over files and seeds in the tables of an earlier run; of several arms the largest."""
    if not (folder / "results" / "models.parquet").exists():
        return {}
    try:
        results = RunResults(open_run(folder))
        contrasts = [one for found in all_contrasts(results).values() for one in found.contrasts]
        taken = estimates(contrasts, results.prompts, results.prompts.repositories, results.losses)
    except RaysimError:  # of another version; nothing is lost but the better guess
        return {}
    settings, seen = results.findings_settings, {}
    for finding in FINDINGS:
        primaries = finding.primaries(settings)
        own = [e for e in taken if e.finding == finding.name and e.name in primaries and not e.refused and e.finite]
        if own:
            seen[finding.name] = max(_deviations(one) for one in own)
    return seen


def _deviations(estimate: Estimate) -> tuple[float, float]:
    over_files = float(np.sqrt(estimate.spread.cluster_variance * (estimate.spread.cluster_df + 1)))
    values = estimate.values
    # One seed shows nothing of seeds; a tenth of what files vary is what the simulated studies have.
    return over_files, float(np.std(values, ddof=1)) if len(values) > 1 else over_files / 10
