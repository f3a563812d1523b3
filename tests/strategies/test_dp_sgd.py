"""Who is told which noise, and what a round costs whom, with releases counted by hand."""

import pytest
from raysim.strategies.dp_sgd import DPSGDAvg, DPSGDAvgSettings

from raysim.simulation.privacy import GaussianReleases, spent
from raysim.simulation.strategy import ClientInfo, Federation

CLIENTS = (ClientInfo("a", 40, 2560, 1.0, 0.0), ClientInfo("b", 10, 640, 1.0, 0.0))


def strategy_of(**settings: object) -> DPSGDAvg:
    return DPSGDAvg(DPSGDAvgSettings.model_validate(settings), Federation(CLIENTS, 6, "reset", 3, batch_size=4))


def last(strategy: DPSGDAvg) -> dict[str, tuple[GaussianReleases, ...]]:
    return {claim.organization: claim.releases for claim in strategy.privacy_claims()}


def test_steps_that_draw_count_each_and_passes_count_once() -> None:
    # Three rounds of two epochs: 10 steps a pass for a, 3 for b.
    drawn = last(strategy_of(rounds=3, noise_multiplier=2.0))
    assert drawn == {"a": (GaussianReleases(2.0, 60, 0.1),), "b": (GaussianReleases(2.0, 18, 0.4),)}
    shuffled = last(strategy_of(rounds=3, noise_multiplier=2.0, batches="shuffled"))
    assert shuffled == {name: (GaussianReleases(2.0, 6, 1.0),) for name in "ab"}
    # Four steps a round begin a second pass of b's three, and none of a's ten.
    steps = last(strategy_of(rounds=3, noise_multiplier=2.0, batches="shuffled", local_steps=4))
    assert steps == {"a": (GaussianReleases(2.0, 3, 1.0),), "b": (GaussianReleases(2.0, 6, 1.0),)}


def test_a_round_without_a_client_costs_it_nothing() -> None:
    strategy = strategy_of(rounds=6, clients=1, noise_multiplier=2.0, batches="shuffled")
    claims = list(strategy.privacy_claims())
    assert [(claim.round, claim.organization) for claim in claims] == [(n, o) for n in range(1, 7) for o in "ab"]
    assert sum(claim.releases[0].times for claim in claims[-2:]) == 6
    assert all(claim.unit == "sequence" for claim in claims)


def test_a_target_finds_each_client_its_own_noise() -> None:
    strategy = strategy_of(rounds=3, target_epsilon=4.0)
    noise = {name: releases[0].noise_multiplier for name, releases in last(strategy).items()}
    assert noise["a"] < noise["b"]
    for releases in last(strategy).values():
        assert 3.99 < spent(releases, 1e-5).epsilon <= 4
    told = {i.organizations[0]: i.objective for i in strategy.plan(strategy.init("m", [0.0]))}  # type: ignore[arg-type]
    for name, objective in told.items():
        assert objective is not None
        assert (objective.name, dict(objective.settings)) == (
            "dp_sgd",
            {"clip": 1.0, "noise_multiplier": noise[name], "poisson": True},
        )


def test_the_loudest_client_says_how_loud_it_is() -> None:
    ratio, steps = strategy_of(rounds=3, noise_multiplier=2.0).noise_ratio()
    assert (ratio, steps) == (pytest.approx(2.0 / 4), 18)


def test_clients_need_what_computes_their_gradients() -> None:
    assert DPSGDAvgSettings().packages() == ("opacus",)
