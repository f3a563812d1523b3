"""From intervals to verdicts: one an arm, and one of the finding, which holds if it does in every arm.

An estimate decides what can be claimed at all. Beyond the margin on the finding's side it is support, beyond it on the
other side contradiction, within it no effect. The claim is made if its p value, adjusted over all findings, is small
enough; then the interval adjusted likewise lies on one side of zero, or within the margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raysim.analysis.estimates import MIN_SEEDS, Estimate
from raysim.analysis.statistics import hochberg_levels, holm, holm_levels

LEVEL = 0.05

Direction = Literal["up", "down", "not worse"]
"""Sign of the contrasts of a finding that holds; 'not worse': they lie below the margin."""

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
NO_EFFECT = "no effect beyond the margin"
INCONCLUSIVE = "inconclusive"
INCOMPARABLE = "not comparable"
NOT_MEASURED = "not measured"

_INDICATED = {
    SUPPORTED: "indicated",
    CONTRADICTED: "indicated against",
    NO_EFFECT: "indicated: no effect beyond the margin",
}


@dataclass(frozen=True)
class Claim:
    """What an estimate may show, and the p value of that, doubled as for a two-sided test."""

    verdict: str
    p: float


@dataclass(frozen=True)
class ArmVerdict:
    """The verdict on one arm.

    Attributes:
        estimate: behind it.
        claim: that was tested.
        verdict: that was reached.
        level: at which the claim was tested; the adjusted interval has confidence 1 - level.
    """

    estimate: Estimate
    claim: Claim
    verdict: str
    level: float


@dataclass(frozen=True)
class Verdict:
    """The verdict on a finding.

    Attributes:
        verdict: the one that all its arms share, else inconclusive.
        p: Holm's, of its least certain arm; None where it was not tested.
        arms: it rests on.
        shown: the arm with the largest p.
    """

    verdict: str
    p: float | None
    arms: tuple[ArmVerdict, ...]
    shown: ArmVerdict


def claim(direction: Direction, margin: float, estimate: Estimate) -> Claim:
    """The one claim that an estimate allows."""
    mean, spread = estimate.mean, estimate.spread
    if direction == "not worse":
        verdict = SUPPORTED if mean < margin else CONTRADICTED
        p = spread.p_below(margin) if verdict == SUPPORTED else spread.p_above(margin)
    elif abs(mean) <= margin:
        verdict, p = NO_EFFECT, max(spread.p_above(-margin), spread.p_below(margin))
    else:
        verdict = SUPPORTED if (mean > 0) == (direction == "up") else CONTRADICTED
        p = spread.p_above(0.0) if mean > 0 else spread.p_below(0.0)
    return Claim(verdict, 1.0 if estimate.refused else min(1.0, 2 * p))


def reach_verdicts(
    measured: Mapping[str, Sequence[Estimate]], directions: Mapping[str, Direction], margins: Mapping[str, float]
) -> dict[str, Verdict]:
    """The verdicts on all findings that were measured.

    A finding enters Holm's adjustment once, with the largest p of its arms (intersection-union test: Berger,
    Technometrics 24, 1982). Its arms are tested at the level that it has there, by Hochberg among themselves.

    Args:
        measured: for each finding the estimates of its primary contrasts and arms, all of them finite.
        directions, margins: of each finding.
    """
    claims = {
        name: [claim(directions[name], margins[name], estimate) for estimate in found]
        for name, found in measured.items()
    }
    tested = [name for name, found in measured.items() if min(len(e.seeds) for e in found) >= MIN_SEEDS]
    largest = {name: max(one.p for one in claims[name]) for name in tested}
    levels, adjusted = holm_levels(largest, LEVEL), holm(largest)
    verdicts: dict[str, Verdict] = {}
    for name, found in measured.items():
        few = None if name in adjusted else min(len(e.seeds) for e in found)
        by_arm = {str(i): one.p for i, one in enumerate(claims[name])}
        at = hochberg_levels(by_arm, levels[name]) if few is None else dict.fromkeys(by_arm, LEVEL)
        arms = tuple(
            ArmVerdict(estimate, one, _named(one, one.p <= at[str(i)], few), at[str(i)])
            for i, (estimate, one) in enumerate(zip(found, claims[name], strict=True))
        )
        kinds = {arm.verdict for arm in arms}
        shown = max(arms, key=lambda arm: arm.claim.p)
        common = shown.verdict if len(kinds) == 1 else INCONCLUSIVE
        verdicts[name] = Verdict(common, adjusted.get(name), arms, shown)
    return verdicts


def _named(claim: Claim, made: bool, seeds: int | None) -> str:
    """The verdict of a claim; `seeds`: too few for more than an indication."""
    if not made:
        return INCONCLUSIVE
    if seeds is None:
        return claim.verdict
    return f"{_INDICATED[claim.verdict]} ({seeds} seed{'s' * (seeds != 1)})"
