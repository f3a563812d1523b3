"""Who gains: each organization's own code, by its model trained alone and by each setting that it could join."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import log

import numpy as np
import pyarrow as pa

from raysim.analysis.arms import FULL, exclusive_lines, final_models, given, measured, own_owner
from raysim.analysis.arrays import LossArrays
from raysim.analysis.estimates import estimates
from raysim.analysis.fit import Fit, fit_of
from raysim.analysis.held_out_copies import bits_without_copies
from raysim.analysis.paired import Contrast, Ratio
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import wilson
from raysim.tables.io import schema


@dataclass(frozen=True)
class Gain:
    """One organization in one setting; see the table `gains` for the fields."""

    organization: str
    strategy: str
    family: str
    arm: str
    seeds: int
    files: int
    alone: float | None
    together: float | None
    gain: float | None
    low: float | None
    high: float | None
    lines: float | None
    prompts: int | None
    leaking: float | None
    leaking_high: float | None
    note: str
    fit: Fit = ""
    test_alone: float | None = None
    test_together: float | None = None
    test_gain: float | None = None
    test_low: float | None = None
    test_high: float | None = None
    test_note: str = ""
    alone_without_copies: float | None = None
    together_without_copies: float | None = None

    @property
    def verdict(self) -> str:
        """``gains`` or ``loses`` where the whole interval of what is reported says so, else ``unclear``."""
        shown = self.reported
        if shown.low is None or shown.high is None:
            return "unclear"
        return "gains" if shown.low > 0 else "loses" if shown.high < 0 else "unclear"

    @property
    def on_test(self) -> bool:
        """Whether there are losses on a test split, which are quoted in place of those on validation files."""
        return self.test_together is not None

    @property
    def reported_note(self) -> str:
        """What the interval that is quoted rests on."""
        return self.test_note if self.on_test else self.note

    @property
    def reported(self) -> "PairedLosses":
        """What to quote: on the test split, where there is one, since settings are chosen on validation files."""
        if self.on_test:
            return PairedLosses(self.test_alone, self.test_together, self.test_gain, self.test_low, self.test_high)
        return PairedLosses(self.alone, self.together, self.gain, self.low, self.high)


@dataclass(frozen=True)
class PairedLosses:
    """Bits per byte alone and together on the same files, their difference and its interval; None where not known."""

    alone: float | None
    together: float | None
    gain: float | None
    low: float | None
    high: float | None


def gains(results: RunResults) -> list[Gain]:
    """Every organization in every setting over all organizations, in the order of the experiment.

    A gain is paired over the organization's own validation files: loss of its model trained alone on all of its data
    minus that of the setting's final models, orders averaged within a seed; of a personalized setting it is that of the
    organization's own model.
    """
    settings: dict[tuple[str, str], list[ReachedModel]] = {}
    everybody = set(results.organizations)
    for m in finals(results.reached_models):
        if m.family not in ("single", "unlearned") and m.fraction == FULL and set(m.organizations) == everybody:
            settings.setdefault((m.strategy, m.arm), []).append(m)
    return [
        _gain(results, organization, [m for m in models if m.family != "personalized" or m.last == organization])
        for organization in results.organizations
        for models in settings.values()
    ]


def gains_table(results: RunResults) -> pa.Table:
    """The table `gains` of a run."""
    return pa.Table.from_pylist([asdict(gain) for gain in gains(results)], schema("gains"))


def best_for(found: Iterable[Gain], organization: str) -> Gain | None:
    """The setting in which an organization's own validation files are modelled best; ties: which gives away less.

    What is to be quoted of it is `Gain.reported`: on the test split, if there is one.
    """
    mine = [gain for gain in found if gain.organization == organization and gain.gain is not None]
    return min(mine, key=lambda gain: (-(gain.gain or 0.0), gain.lines or 0.0, gain.strategy), default=None)


def _gain(results: RunResults, organization: str, models: list[ReachedModel]) -> Gain:
    first = models[0]
    on_valid, seeds, note = _paired(results, organization, models, results.losses, "bits_per_byte")
    on_test, _, test_note = _paired(results, organization, models, results.test_losses, "test_bits_per_byte")
    lines, num_prompts, leaking, most = given_away(results, organization, models)
    return Gain(
        organization=organization,
        strategy=first.strategy,
        family=first.family,
        arm=first.arm,
        seeds=seeds,
        files=sum(o == organization for o in results.losses.organizations),
        **asdict(on_valid),
        lines=lines,
        prompts=num_prompts,
        leaking=leaking,
        leaking_high=most,
        note=note,
        fit=fit_of(results, models, [organization]),
        **{f"test_{name}": value for name, value in asdict(on_test).items()},
        test_note=test_note,
        alone_without_copies=bits_without_copies(results, _alone(results, organization), organization),
        together_without_copies=bits_without_copies(results, models, organization),
    )


def _paired(
    results: RunResults, organization: str, models: list[ReachedModel], arrays: LossArrays, measure: str
) -> tuple[PairedLosses, int, str]:
    """Losses on one split, from how many seeds, and what the interval rests on."""
    contrasts = [
        contrast
        for seed in sorted({m.seed for m in models})
        if (contrast := _contrast(results, organization, seed, [m for m in models if m.seed == seed], arrays))
    ]
    prompts = results.prompts
    found = estimates(contrasts, prompts, prompts.repositories, arrays)
    estimate = found[0] if found and found[0].finite else None
    low, high = estimate.interval() if estimate else (float("nan"), float("nan"))
    seeds = {contrast.seed for contrast in contrasts}
    alone = [m for m in _alone(results, organization) if m.seed in seeds]
    losses = PairedLosses(
        alone=_mean_loss(results, organization, alone, measure),
        together=_mean_loss(results, organization, [m for m in models if m.seed in seeds] or models, measure),
        gain=None if estimate is None else estimate.mean,
        low=_known(low),
        high=_known(high),
    )
    return losses, len(seeds), "" if estimate is None else estimate.note


def _alone(results: RunResults, organization: str) -> list[ReachedModel]:
    """The models that an organization trains alone, on all of its data."""
    seeds = sorted({m.seed for m in results.reached_models})
    singles = [m for seed in seeds for m in final_models(results, seed, "single")]
    return [m for m in singles if m.organizations == (organization,)]


def _contrast(
    results: RunResults, organization: str, seed: int, models: list[ReachedModel], arrays: LossArrays
) -> Contrast | None:
    alone = [m for m in _alone(results, organization) if m.seed == seed]
    one, other = (
        [arrays.model_index[m.model] for m in side if m.model in arrays.model_index] for side in (alone, models)
    )
    if not one or not other:
        return None
    own = np.array(arrays.organizations) == organization
    used = own & np.all(arrays.tokens[one + other] > 0, axis=0)
    gap = arrays.nats[one].mean(0) - arrays.nats[other].mean(0)
    statistic = Ratio(np.where(used, gap, 0.0) / log(2), arrays.bytes[one[0]] * used.astype(np.float64))
    return Contrast("gains", organization, seed, "bits per byte", "files", statistic)


def _mean_loss(results: RunResults, organization: str, models: list[ReachedModel], measure: str) -> float | None:
    """Bits per byte on files of an organization, averaged over orders within a seed and then over seeds."""
    by_seed: dict[int, list[float]] = {}
    for m in models:
        value = results.measures(m.model).get((measure, organization))
        if value is not None:
            by_seed.setdefault(m.seed, []).append(value)
    return _known(float(np.mean([np.mean(values) for values in by_seed.values()]))) if by_seed else None


def given_away(
    results: RunResults, organization: str, models: list[ReachedModel]
) -> tuple[float | None, int | None, float | None, float | None]:
    """Exclusive lines of an organization a prompt of its own, prompts, share of them with such a line, its bound."""
    arrays = results.prompts
    reached = measured(results, models)
    if arrays.empty or not reached or organization not in arrays.owners:
        return None, None, None, None
    owner = arrays.owners.index(organization)
    own = (np.array(own_owner(results)) == owner) & arrays.from_training & (given(results, reached) > 0)
    if not own.any():
        return None, 0, None, None
    by_seed = [
        exclusive_lines(results, [m for m in reached if m.seed == seed], owner)[own]
        for seed in sorted({m.seed for m in reached})
    ]
    leaking = float(np.mean([np.mean(lines > 0) for lines in by_seed]))
    files = len({file for file, mine in zip(arrays.files, own, strict=True) if mine})
    return float(np.mean(by_seed)), int(own.sum()), leaking, wilson(leaking * files, files)[1]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
