"""A contrast over all its seeds: its value, its interval, or why it has none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from raysim.analysis.clusters import MIN_CLUSTERS, Clusters, clusters_of
from raysim.analysis.crossed import Spread, spread_of
from raysim.analysis.paired import Contrast
from raysim.analysis.statistics import Floats

MIN_SEEDS = 5
"""Below five seeds Student's interval has a factor over 3 and says little about the spread between runs."""


class Axis(Protocol):
    """The items of an axis: prompts or validation files, each from a file of an organization."""

    @property
    def organizations(self) -> list[str]: ...

    @property
    def files(self) -> list[str]: ...


@dataclass(frozen=True)
class Estimate:
    """One contrast over all its seeds.

    Attributes:
        finding, name, arm, unit, models: as of `Contrast`.
        note: of the first seed, and what an interval rests on.
        seeds, values, sizes: of each seed, its number, the value and how many items entered.
        within: spread of each seed's value over clusters.
        spread: of the mean over seeds.
        refused: why there is no interval; '' where there is one.
    """

    finding: str
    name: str
    arm: str
    unit: str
    models: str
    note: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    sizes: tuple[int, ...]
    within: tuple[Spread, ...]
    spread: Spread
    refused: str = ""

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def finite(self) -> bool:
        """Whether every seed has a number: a model that has diverged has none."""
        return bool(np.isfinite(self.values).all())

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Of the mean; NaN where it is refused."""
        return (float("nan"), float("nan")) if self.refused else self.spread.interval(confidence)

    def interval_within(self, number: int) -> tuple[float, float]:
        """95 % interval of the seed at place `number`, over clusters alone; NaN where it is refused."""
        return (float("nan"), float("nan")) if self.refused else self.within[number].interval()


def estimate(group: Sequence[Contrast], clusters: Clusters) -> Estimate:
    """One contrast over its seeds, which leave out the same clusters, so that material stays paired."""
    first = group[0]
    whole = np.ones((1, len(clusters.of_item)))
    # Rounded, so that an exact zero is not made a direction by the last bits of a sum.
    values = [round(float(contrast.statistic(whole)[0]), 12) for contrast in group]
    without = clusters.left_out()
    left_out: Floats = np.round([contrast.statistic(without) for contrast in group], 12)
    refused = _refusal(group, clusters)
    spread = spread_of(values, left_out, clusters.strata, over_seeds=len(group) >= MIN_SEEDS)
    if not refused and not spread.varies and np.isfinite(values).all():
        refused = f"the values do not vary over {'seeds or ' * (len(group) >= MIN_SEEDS)}{clusters.kind}"
    rests = "" if refused else f"{len(clusters)} {clusters.kind}"
    return Estimate(
        finding=first.finding,
        name=first.name,
        arm=first.arm,
        unit=first.unit,
        models=first.models,
        note="; ".join(part for part in (first.note, refused or rests) if part),
        seeds=tuple(contrast.seed for contrast in group),
        values=tuple(values),
        sizes=tuple(int(contrast.statistic.in_play.sum()) for contrast in group),
        within=tuple(
            spread_of([value], row[None], clusters.strata, over_seeds=False)
            for value, row in zip(values, left_out, strict=True)
        ),
        spread=spread,
        refused=refused,
    )


def estimates(contrasts: Sequence[Contrast], prompts: Axis, repositories: list[str], files: Axis) -> list[Estimate]:
    """Every contrast that has items, over its seeds.

    Args:
        contrasts: of all findings and seeds.
        prompts: the items of contrasts over prompts.
        repositories: of each prompt.
        files: the items of contrasts over validation files.
    """
    groups: dict[tuple[str, str, str], list[Contrast]] = {}
    for contrast in contrasts:
        if contrast.statistic.in_play.any():
            groups.setdefault((contrast.finding, contrast.name, contrast.arm), []).append(contrast)
    found = []
    for group in groups.values():
        in_play = np.any([contrast.statistic.in_play for contrast in group], axis=0)
        on_files = group[0].axis == "files"
        items = files if on_files else prompts
        clusters = clusters_of(in_play, items.organizations, None if on_files else repositories, items.files)
        found.append(estimate(group, clusters))
    return found


def _refusal(group: Sequence[Contrast], clusters: Clusters) -> str:
    """Why no interval holds what it says: too few clusters, or too few that tell anything."""
    needed = f"{MIN_CLUSTERS} are needed"
    if len(clusters) < MIN_CLUSTERS:
        return f"too few {clusters.kind}: {len(clusters)}, {needed}"
    for what in group[0].statistic.telling:
        count = clusters.count(np.any([contrast.statistic.telling[what] for contrast in group], axis=0))
        if count < MIN_CLUSTERS:
            return f"too few {clusters.kind}: {count} of {len(clusters)} {what}, {needed}"
    return ""
