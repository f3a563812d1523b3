"""Differential privacy with a number: what a setting claims, and how much of it its rounds have spent.

A mechanism here is the Gaussian one, released again and again: of sums to which nobody adds more than a norm C, with
noise of the standard deviation ``noise_multiplier * C`` in every coordinate. `dp_accounting` composes the distributions
of their privacy losses (PLD; Koskela, Jaelkoe & Honkela: Computing Tight Differential Privacy Guarantees Using FFT,
AISTATS 2020, arXiv 1906.03049); epsilons that are too large to mean anything are left at the bound of Renyi
differential privacy (RDP; Mironov, Talwar & Zhang, 2019, arXiv 1908.10530). Sampling amplifies only where it is
Poisson's and really performed. Whoever shuffles has no such guarantee (Chua et al.: How Private are DP-SGD
Implementations?, ICML 2024, arXiv 2403.17673), so whatever takes part in every pass is accounted for without
amplification.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, Literal, Protocol, runtime_checkable

from raysim.core.errors import InputError
from raysim.simulation.early_stop import NOT_ACCOUNTED, early_stop_of
from raysim.simulation.loop import StrategyRun

_FAR = 100.0
"""Epsilons above it are left at the bound of RDP: distributions of such losses are long."""

_NONE = 1e-6
"""A noise multiplier below it is none: its epsilon would be beyond 10^11."""

_INTERVAL = 1e-3
"""Steps of privacy losses, rounded up; ten times finer ones change no third digit."""

ORDERS = (1.25, 1.5, 1.75, *range(2, 64), 128, 256, 512, 1024)
"""Renyi orders. Sampled mechanisms take whole ones: between them the series of dp_accounting may not converge."""

_CHOSEN_END = (
    f"; which round is the last, and which model is kept, is chosen by validation losses (early_stop): {NOT_ACCOUNTED}"
)

_DIGITS = 4
"""Decimal places that calibrated noise multipliers are rounded up to: a key must not hang on a root's last bits."""


@dataclass(frozen=True)
class GaussianReleases:
    """Releases of a Gaussian mechanism, one after the other.

    Attributes:
        noise_multiplier: standard deviation of the noise over the largest norm that one unit adds to the sum.
        times: releases.
        sampling_rate: probability with which a unit takes part in each, drawn by itself; 1: it always does.
    """

    noise_multiplier: float
    times: int
    sampling_rate: float = 1.0


@dataclass(frozen=True)
class PrivacyClaim:
    """What one round has left of the privacy of whoever's data are trained on.

    Attributes:
        round: from 1; all rounds up to it are accounted for.
        unit: what two neighbouring data sets differ in: an organization, or one of its packed sequences.
        organization: whose sequences; empty where the unit is an organization.
        releases: of the rounds so far.
        delta: of the guarantee.
        noise_multiplier: of each release.
        sampling_rate: of each release.
        assumptions: under which the number holds, besides those that docs/methods.md gives for all.
    """

    round: int
    unit: Literal["organization", "sequence"]
    organization: str
    releases: tuple[GaussianReleases, ...]
    delta: float
    noise_multiplier: float
    sampling_rate: float
    assumptions: str


@runtime_checkable
class PrivateStrategy(Protocol):
    """What a strategy with a guarantee has besides the methods of `raysim.simulation.strategy.Strategy`."""

    def privacy_claims(self) -> Iterable[PrivacyClaim]:
        """The claims of every round, in their order."""
        ...

    def noise_ratio(self) -> tuple[float, int]:
        """How loud the noise is.

        Returns:
            For each parameter: standard deviation of the noise in what a step averages, over the largest norm of what
            one unit adds to it and times how many units are averaged; and how many such steps there are.
        """
        ...


@dataclass(frozen=True)
class Spent:
    """What releases cost.

    Attributes:
        epsilon: infinite without noise.
        accountant: how it was computed: ``PLD`` or ``RDP``.
    """

    epsilon: float
    accountant: str


def spent(releases: Iterable[GaussianReleases], delta: float) -> Spent:
    """What all `releases` together cost at `delta`.

    Raises:
        InputError: dp-accounting is not installed.
    """
    counted: dict[tuple[float, float], int] = {}
    for one in releases:
        kind = one.noise_multiplier, one.sampling_rate
        counted[kind] = counted.get(kind, 0) + one.times
    alike = [(noise, rate, times) for (noise, rate), times in sorted(counted.items()) if times]
    if any(noise < _NONE for noise, *_ in alike):
        return Spent(math.inf, "PLD")
    # Releases that all take part in are one release of less noise.
    everybody = sum(times / noise**2 for noise, rate, times in alike if rate == 1)
    sampled = [one for one in alike if one[1] < 1]
    return _spent((*sampled, *([(everybody**-0.5, 1.0, 1)] if everybody else [])), delta)


@lru_cache(maxsize=65536)
def _spent(releases: tuple[tuple[float, float, int], ...], delta: float) -> Spent:
    if not releases:
        return Spent(0.0, "PLD")
    accounting = load_accounting()
    accountant = accounting.rdp.RdpAccountant(_orders(all(rate == 1 for _, rate, _ in releases)))
    for noise, rate, times in releases:
        accountant.compose(_event(accounting, noise, rate), times)
    bound = float(accountant.get_epsilon(delta))
    if bound > _FAR:
        return Spent(bound, "RDP")
    losses = [_losses(noise, rate).self_compose(times) for noise, rate, times in releases]
    return Spent(float(reduce(lambda one, other: one.compose(other), losses).get_epsilon_for_delta(delta)), "PLD")


@lru_cache(maxsize=1024)
def _losses(noise_multiplier: float, sampling_rate: float) -> Any:
    """The privacy loss distribution of one release."""
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution.from_gaussian_mechanism(
        noise_multiplier, value_discretization_interval=_INTERVAL, sampling_prob=sampling_rate
    )


@lru_cache(maxsize=65536)
def noise_multiplier_for(target: float, delta: float, times: int, sampling_rate: float = 1.0) -> float:
    """The smallest noise multiplier, rounded up to four places, by which `times` releases keep epsilon within `target`.

    Raises:
        InputError: dp-accounting is not installed.
    """
    accounting = load_accounting()

    def calibrated(accountant: Any, interval: Any) -> float:
        def events(noise: float) -> Any:
            if sampling_rate == 1:
                return accounting.GaussianDpEvent(noise / math.sqrt(times))
            return accounting.SelfComposedDpEvent(_event(accounting, noise, sampling_rate), times)

        return accounting.calibrate_dp_mechanism(accountant, events, target, delta, interval, tol=10**-_DIGITS / 2)

    orders = _orders(sampling_rate == 1)
    enough = calibrated(lambda: accounting.rdp.RdpAccountant(orders), accounting.LowerEndpointAndGuess(0.0, 1.0))
    found = calibrated(
        lambda: accounting.pld.PLDAccountant(value_discretization_interval=_INTERVAL),
        accounting.ExplicitBracketInterval(enough / 2, 1.1 * enough),
    )
    return math.ceil(found * 10**_DIGITS) / 10**_DIGITS


def _orders(everybody: bool) -> list[float]:
    return [order for order in ORDERS if everybody or order == int(order)]


def _event(accounting: Any, noise_multiplier: float, sampling_rate: float) -> Any:
    event = accounting.GaussianDpEvent(noise_multiplier)
    return event if sampling_rate == 1 else accounting.PoissonSampledDpEvent(sampling_rate, event)


def load_accounting() -> Any:
    """The library `dp_accounting`.

    Raises:
        InputError: it is not installed.
    """
    try:
        import dp_accounting
        import dp_accounting.pld
        import dp_accounting.rdp
    except ImportError as error:
        raise InputError(f"needs dp-accounting ({error}); pip install 'raysim[privacy]'") from error
    return dp_accounting


def privacy_rows(
    strategy_runs: Iterable[StrategyRun], ended: Mapping[StrategyRun, int] | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of the table ``privacy``: every claim of every strategy that makes any.

    Args:
        strategy_runs: of an experiment.
        ended: the last round of those that ended early, up to which they make claims.
    """
    for strategy_run in strategy_runs:
        strategy = strategy_run.strategy
        if not isinstance(strategy, PrivateStrategy):
            continue
        last = (ended or {}).get(strategy_run, math.inf)
        chosen = _CHOSEN_END if early_stop_of(strategy_run) else ""
        for claim in strategy.privacy_claims():
            if claim.round > last:
                continue
            cost = spent(claim.releases, claim.delta)
            yield {
                "seed": strategy_run.context.seed,
                "strategy": strategy_run.label,
                "order": strategy.order,
                "round": claim.round,
                "unit": claim.unit,
                "organization": claim.organization,
                "epsilon": cost.epsilon if math.isfinite(cost.epsilon) else None,
                "delta": claim.delta,
                "noise_multiplier": claim.noise_multiplier,
                "sampling_rate": claim.sampling_rate,
                "sampling": "none: all take part" if claim.sampling_rate == 1 else "Poisson",
                "accountant": cost.accountant,
                "assumptions": claim.assumptions + chosen,
            }


def privacy_cautions(strategy_runs: Iterable[StrategyRun], parameters: int) -> list[str]:
    """A line for each setting whose noise drowns what it could learn.

    Noise of T steps adds up to a norm of ``sqrt(T d) * s``, while units that all agree move the weights by at most T
    times the clip. `noise_ratio` gives s over the clip.

    Args:
        strategy_runs: of an experiment.
        parameters: that are trained, d.
    """
    found: dict[str, str] = {}
    for strategy_run in strategy_runs:
        strategy = strategy_run.strategy
        if not isinstance(strategy, PrivateStrategy):
            continue
        ratio, steps = strategy.noise_ratio()
        loud = ratio * math.sqrt(parameters)
        if loud > math.sqrt(steps):
            found.setdefault(
                strategy_run.label,
                f"strategies: {strategy_run.label}: it can hardly learn: the noise of a step has {loud:,.3g} times the"
                f" norm of the longest step that its clip allows (and {loud / math.sqrt(steps):,.3g} times over all"
                f" {steps} steps); it takes more units a step, fewer weights (model.lora), or a larger epsilon",
            )
    return list(found.values())
