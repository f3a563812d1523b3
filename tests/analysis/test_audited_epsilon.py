"""The bound by its formula, and in simulation: runs of DP-FedAvg whose clients are the canaries."""

import math

import numpy as np
import pytest
from raysim.strategies.dp_fedavg import DPFedAvg, DPFedAvgSettings
from scipy.stats import binom

from raysim.analysis.audited_epsilon import audited_epsilon, lower_bound, p_value
from raysim.simulation.privacy import spent
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation

CANARIES, GUESSES, ROUNDS, CLAIMED, DELTA = 400, 120, 3, 2.0, 1e-5


def test_without_delta_it_is_the_clopper_pearson_bound_of_a_coin() -> None:
    for guesses, correct in ((100, 100), (100, 83), (30, 25)):
        low = lower_bound(500, guesses, correct, 0.0)
        chance = 1 / (1 + math.exp(-low))
        assert binom.sf(correct - 1, guesses, chance) == pytest.approx(0.05, rel=1e-4)
    # All of 100 are right: chance^100 = 0.05.
    q = 0.05**0.01
    assert lower_bound(500, 100, 100, 0.0) == pytest.approx(math.log(q / (1 - q)), rel=1e-4)
    assert lower_bound(500, 100, 55, 0.0) == 0.0


def test_delta_is_paid_for_as_published() -> None:
    """Theorem 5.2, term by term."""
    m, r, v, eps, delta = 200, 60, 48, 1.0, 1e-3
    b = [math.comb(r, k) * (1 / (1 + math.exp(-eps))) ** k * (1 / (1 + math.exp(eps))) ** (r - k) for k in range(r + 1)]
    worst = max(sum(b[v - i : v]) / i for i in range(1, v + 1))
    assert p_value(m, r, v, eps, delta) == pytest.approx(sum(b[v:]) + 2 * m * delta * worst)
    assert lower_bound(m, r, v, delta) < lower_bound(m, r, v, 0.0)


def test_highest_and_lowest_scores_are_guessed() -> None:
    included = np.array([True, True, False, False, True, False])
    found = audited_epsilon(np.array([9.0, 8.0, 1.0, 2.0, 3.0, 5.0]), included, 4, 0.0)
    assert (found.canaries, found.guesses, found.correct) == (6, 4, 4)
    with pytest.raises(ValueError, match="no even number"):
        audited_epsilon(np.zeros(6), included, 3, 0.0)


def audits(noise_share: float, runs: range) -> list[float]:
    """Lower bounds of runs that claim `CLAIMED` and have only this share of the noise that it takes.

    Each client moves a weight of its own by the clip, and the end of that weight is its score.
    """
    clients = tuple(ClientInfo(f"o{i}", 1, 64, 1.0, 0.0) for i in range(CANARIES))
    federation = Federation(clients, 1, "reset")
    honest = DPFedAvg(DPFedAvgSettings(rounds=ROUNDS, target_epsilon=CLAIMED, delta=DELTA), federation)
    claim = list(honest.privacy_claims())[-1]
    assert CLAIMED - 0.01 < spent(claim.releases, DELTA).epsilon <= CLAIMED
    noise = claim.noise_multiplier * noise_share
    strategy = DPFedAvg(DPFedAvgSettings(rounds=ROUNDS, noise_multiplier=noise, delta=DELTA), federation)
    found, moves = [], np.eye(CANARIES, dtype=np.float32)
    for run in runs:
        included = np.random.Generator(np.random.Philox(run)).random(CANARIES) < 0.5
        state = strategy.init("m", np.zeros(CANARIES, np.float32))
        for number in range(ROUNDS):
            start = state.tensors["weights"]
            sent = [
                ClientUpdate(instruction, "k", 1, start + moves[i])
                for i, instruction in enumerate(strategy.plan(state))
                if included[i]
            ]
            state = strategy.apply(state, sent, f"run {run}, round {number}")
        found.append(audited_epsilon(state.tensors["weights"], included, GUESSES, DELTA).lower)
    return found


def check(runs: range) -> None:
    """At least 95 of 100 honest runs are below the claim, and at least 90 of 100 broken ones above it."""
    honest = audits(1.0, runs)
    assert sum(low <= CLAIMED for low in honest) >= 0.95 * len(runs)
    for share in (0.0, 0.1):
        assert sum(low > CLAIMED for low in audits(share, runs)) >= 0.9 * len(runs)


def test_an_audit_passes_what_keeps_its_claim_and_fails_what_lacks_noise() -> None:
    check(range(5))


@pytest.mark.stress
def test_a_hundred_audits() -> None:
    check(range(100))


def test_an_audit_sees_what_a_claim_leaves() -> None:
    """With a third of the noise the bound is not nothing, so that a pass is not for lack of power."""
    assert np.median(audits(0.3, range(5))) > 0.5
