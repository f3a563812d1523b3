"""Studies with known true effects: contrasts of all findings, drawn from a model and judged by the real analysis.

Seeds (5), files and prompts vary at once. Files differ in how memorable they are, as `kind` says: 'normal' and
'exponential' effects, or 'one in three' and 'one in six', where so many files have an effect at all, an exponential
one. What a model makes of a file differs between seeds and arms on top of that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from raysim.analysis.clone_contrasts import F5_COPIES, F6_CROSS
from raysim.analysis.detectable import ASSUMED
from raysim.analysis.estimates import Estimate, estimates
from raysim.analysis.findings import FINDINGS, judge
from raysim.analysis.leakage_contrasts import F3_LOSS, F4_LAST, F7_WITHOUT
from raysim.analysis.loss_contrasts import F1_MIX, F1_SIZE, F2_LOSS
from raysim.analysis.paired import Contrast, Found, Ratio, RiskDifference
from raysim.analysis.statistics import Floats, t_interval
from raysim.experiment.findings_settings import FindingsSettings

SEEDS = 5
KINDS = {"normal": 1.0, "exponential": 1.0, "one in three": 1 / 3, "one in six": 1 / 6}
"""Of each kind the share of the files that have an effect at all."""
SETTINGS = FindingsSettings()
MARGINS = {finding.name: getattr(SETTINGS, finding.name).margin for finding in FINDINGS}
SIGNS = {finding.name: -1.0 if finding.direction == "down" else 1.0 for finding in FINDINGS}
"""Sign of the effect of a finding that holds; of F2, of one that does not."""


@dataclass(frozen=True)
class Design:
    """How one primary contrast is drawn.

    Attributes:
        residual: standard deviation of a file's effect over seeds and arms, around the file's own, in margins; those
            over files and seeds are the ones that `raysim plan` assumes.
    """

    finding: str
    name: str
    axis: str
    files: int
    prompts_a_file: int
    arms: tuple[str, ...]
    residual: float
    sparse: bool = True
    """Whether files without an effect may be; every file has a loss."""

    @property
    def cluster(self) -> float:
        return ASSUMED[self.finding][0]

    @property
    def seed(self) -> float:
        return ASSUMED[self.finding][1]


DESIGNS = (
    Design("F1", F1_SIZE, "files", 45, 1, ("single",), 2.0, sparse=False),
    Design("F1", F1_MIX, "files", 45, 1, ("mix",), 2.0, sparse=False),
    Design("F2", F2_LOSS, "files", 45, 1, ("fedavg", "fedyogi"), 1.0, sparse=False),
    Design("F3", F3_LOSS, "prompts", 60, 2, ("fedavg", "fedyogi"), 3.0),
    Design("F4", F4_LAST, "prompts", 60, 2, ("incremental",), 3.0),
    Design("F6", F6_CROSS, "prompts", 60, 1, ("centralized", "fedavg", "fedyogi"), 2.0),
    Design("F7", F7_WITHOUT, "prompts", 60, 2, ("fedavg",), 3.0),
)
F5_FILES, F5_SAMPLES, F5_BASE = 60, 5, 0.3
"""F5: a prompt a file, half of them duplicated, and the share of unique ones that are known at all."""


@dataclass
class SomeFiles:
    """Files of three organizations, and the prompts in them."""

    number: int
    prompts_a_file: int = 1
    organizations: list[str] = field(init=False)
    files: list[str] = field(init=False)

    def __post_init__(self) -> None:
        items = [f for f in range(self.number) for _ in range(self.prompts_a_file)]
        self.organizations = ["abc"[f % 3] for f in items]
        self.files = [f"f{f}" for f in items]


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        contrasts: of all seeds.
        truth: the effect behind each primary contrast and arm, in its unit.
        variance: of the mean of each, as it truly is.
    """

    contrasts: list[Contrast]
    truth: dict[tuple[str, str, str], float]
    variance: dict[tuple[str, str, str], float]

    @cached_property
    def estimates(self) -> list[Estimate]:
        found = []
        for axis, files, each in {(d.axis, d.files, d.prompts_a_file) for d in DESIGNS} | {("prompts", F5_FILES, 1)}:
            items = SomeFiles(files, each)
            number = len(items.files)
            own = [c for c in self.contrasts if c.axis == axis and len(c.statistic.in_play) == number]
            found += estimates(own, items, ["r"] * number, items)
        return found

    @cached_property
    def rows(self) -> list[dict]:
        """As in the table `findings`."""
        return judge({finding.name: Found() for finding in FINDINGS}, self.estimates, SETTINGS)


def draw(rng: np.random.Generator, kind: str, effects: dict[str, float], noise: float = 1.0) -> Study:
    """A study whose findings have these true effects, in margins and towards what the finding says.

    Args:
        rng: draws it.
        kind: of the files, see `KINDS`.
        effects: of each finding.
        noise: times the standard deviations of the designs; F5, whose outcomes are counts, keeps its own.
    """
    contrasts: list[Contrast] = []
    truth: dict[tuple[str, str, str], float] = {}
    variance: dict[tuple[str, str, str], float] = {}
    for design in DESIGNS:
        true = SIGNS[design.finding] * effects[design.finding] * MARGINS[design.finding]
        for arm, (values, spread) in zip(design.arms, _drawn(rng, kind, design, true, noise), strict=True):
            place = design.finding, design.name, arm
            truth[place], variance[place] = true, spread
            for seed, row in enumerate(values, 1):
                statistic = Ratio(row, np.ones(len(row)))
                contrasts.append(Contrast(design.finding, design.name, seed, "u", design.axis, statistic, "", arm))
    place = "F5", F5_COPIES, ""
    truth[place] = effects["F5"] * MARGINS["F5"]
    statistics, variance[place] = _drawn_shares(rng, truth[place])
    contrasts += [Contrast("F5", F5_COPIES, seed, "u", "prompts", one) for seed, one in enumerate(statistics, 1)]
    return Study(contrasts, truth, variance)


def _drawn(
    rng: np.random.Generator, kind: str, design: Design, true: float, noise: float
) -> Iterator[tuple[Floats, float]]:
    """For each arm contrasts ``[seeds, items]`` with the mean `true`, and the variance of their mean."""
    margin, k = MARGINS[design.finding], design.files
    share = KINDS[kind] if design.sparse else 1.0
    common = _effects(rng, kind, k)
    known = rng.random(k) < share
    for _ in design.arms:
        # Arms have most of a file's effect in common, which has the standard deviation `cluster` where there is one.
        files = 0.9 * common + np.sqrt(1 - 0.9**2) * _effects(rng, "normal", k)
        seeds = rng.standard_normal((SEEDS, 1))
        residual = rng.standard_normal((SEEDS, k))
        varying = noise * (design.cluster * files + design.seed * seeds / share + design.residual * residual)
        values = known * (margin * varying + true / share)
        a_file = share * (noise * margin * design.cluster) ** 2 + true**2 * (1 / share - 1)
        a_seed = (noise * margin * design.seed) ** 2 * (1 + (1 / share - 1) / k)
        both = share * (noise * margin * design.residual) ** 2
        yield np.repeat(values, design.prompts_a_file, axis=1), a_file / k + a_seed / SEEDS + both / (SEEDS * k)


def _effects(rng: np.random.Generator, kind: str, number: int) -> Floats:
    """Effects of mean 0 and variance 1."""
    return rng.standard_normal(number) if kind == "normal" else rng.exponential(size=number) - 1


def _drawn_shares(rng: np.random.Generator, true: float) -> tuple[list[RiskDifference], float]:
    """Shares of samples, duplicated prompts known more often; and the variance of the difference."""
    exposed = np.arange(F5_FILES) // 3 % 2 == 0
    chances = np.where(exposed, F5_BASE + 2 * true, F5_BASE)
    # Of a prompt that is known, the chance of a sample is uniform: mean 1/2, mean square 1/3.
    known = (rng.random(F5_FILES) < chances) * rng.random(F5_FILES)
    strata = ["abc"[f % 3] for f in range(F5_FILES)]
    used = np.ones(F5_FILES, np.bool_)
    statistics = [
        RiskDifference(rng.binomial(F5_SAMPLES, known) / F5_SAMPLES, exposed, used, strata) for _ in range(SEEDS)
    ]
    variance = 0.0
    for chance, number in ((F5_BASE + 2 * true, exposed.sum()), (F5_BASE, (~exposed).sum())):
        sampling = chance * (1 / 2 - 1 / 3) / (F5_SAMPLES * SEEDS)
        variance += (chance / 3 - chance**2 / 4 + sampling) / number
    return statistics, variance


def is_false(finding: str, verdict: str, true: float) -> bool:
    """Whether a verdict on an effect, in its unit, is wrong; 'no effect' at the margin is."""
    margin, towards = MARGINS[finding], SIGNS[finding] * true
    if finding == "F2":
        beyond = true >= margin - 1e-12
        return verdict == "supported" if beyond else verdict == "contradicted"
    return (
        (verdict == "supported" and towards <= 0)
        or (verdict == "contradicted" and towards >= 0)
        or (verdict.startswith("no effect") and abs(true) >= margin - 1e-12)
    )


@dataclass
class Tally:
    """What many studies came to.

    Attributes:
        covered, widths: of each interval that was issued, whether it covers, and its width over an oracle's, who knows
            the variance and takes the normal distribution.
        refused: of each estimate, whether it was.
        verdicts: of each finding, those reached.
        false: of each study, whether a verdict on a finding or an arm was wrong.
        by_seeds, by_percentiles: of each estimate, whether an interval of another method covers: Student's over the
            seeds, and percentiles of a bootstrap of files.
    """

    covered: dict[str, list[bool]]
    widths: dict[str, list[float]]
    refused: dict[str, list[bool]]
    verdicts: dict[str, list[str]]
    false: list[bool]
    by_seeds: list[bool]
    by_percentiles: list[bool]


def tally(number: int, effects: dict[str, float], noise: float = 1.0, seed: int = 11, rivals: bool = False) -> Tally:
    """Draws and judges `number` studies, of all kinds in turn."""
    rng = np.random.default_rng(seed)
    names = [finding.name for finding in FINDINGS]
    covered, widths, refused, verdicts = ({name: [] for name in names} for _ in range(4))
    found = Tally(covered, widths, refused, verdicts, [], [], [])
    for i in range(number):
        study = draw(rng, list(KINDS)[i % len(KINDS)], effects, noise)
        for one in study.estimates:
            place = one.finding, one.name, one.arm
            true = study.truth[place]
            found.refused[one.finding].append(bool(one.refused))
            if not one.refused:
                low, high = one.interval()
                found.covered[one.finding].append(low <= true <= high)
                found.widths[one.finding].append((high - low) / (2 * 1.96 * study.variance[place] ** 0.5))
            if rivals:
                low, high = t_interval(one.values)
                found.by_seeds.append(low <= true <= high)
        wrong = False
        for row in study.rows:
            true = next(value for (name, _, _), value in study.truth.items() if name == row["finding"])
            wrong |= is_false(row["finding"], row["verdict"], true)
            if not row["arm"]:
                found.verdicts[row["finding"]].append(row["verdict"])
        found.false.append(wrong)
        if rivals:
            found.by_percentiles += _percentiles_cover(rng, study)
    return found


def _percentiles_cover(rng: np.random.Generator, study: Study) -> Iterator[bool]:
    """Whether percentiles of a bootstrap of twelve files, as small runs have them, cover in F3 and F7."""
    for place in study.truth:
        if place[0] in ("F3", "F7"):
            own = [c.statistic for c in study.contrasts if (c.finding, c.name, c.arm) == place]
            files = np.mean([one.numerators[::2][:12] for one in own if isinstance(one, Ratio)], axis=0)
            means = rng.multinomial(12, np.full(12, 1 / 12), size=400) @ files / 12
            low, high = np.percentile(means, [2.5, 97.5])
            yield bool(low <= study.truth[place] <= high)
