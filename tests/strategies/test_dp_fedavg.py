"""Clipping, noise, sampling and the clip that adapts, each against numbers made here."""

import math

import numpy as np
import pytest
from raysim.strategies.dp_fedavg import CLIP, DPFedAvg, DPFedAvgSettings

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State, is_over


def federation_of(number: int, seed: int = 0) -> Federation:
    return Federation(tuple(ClientInfo(f"o{i}", i + 1, 64, 1.0, 0.0) for i in range(number)), 10, "reset", seed)


def strategy_of(number: int, seed: int = 0, **settings: object) -> DPFedAvg:
    return DPFedAvg(DPFedAvgSettings.model_validate(settings), federation_of(number, seed))


def after(strategy: DPFedAvg, state: State, changes: np.ndarray, key: str = "next") -> State:
    """The state when the clients of a full round have moved by `changes` ``[clients, weights]``."""
    weights = state.tensors["weights"]
    pairs = zip(strategy.plan(state), changes, strict=True)
    return strategy.apply(state, [ClientUpdate(i, "k", 1, (weights + c).astype(np.float32)) for i, c in pairs], key)


def test_changes_are_clipped_and_count_alike_whatever_their_data() -> None:
    strategy = strategy_of(2, noise_multiplier=0.0, clip=5.0, eta=0.5)
    state = strategy.init("m", np.array([1.0, 1.0], np.float32))
    # (6, 8) of norm 10 becomes (3, 4); (0, 1) stays: the mean (1.5, 2.5), of which half is stepped.
    found = after(strategy, state, np.array([[6.0, 8.0], [0.0, 1.0]])).tensors["weights"]
    np.testing.assert_allclose(found, [1.75, 2.25], rtol=1e-6)


def test_the_noise_of_a_step_is_multiplier_times_clip_over_the_clients_to_expect() -> None:
    strategy = strategy_of(4, noise_multiplier=1.5, clip=0.8)
    state = strategy.init("m", np.zeros(400_000, np.float32))
    steps = [after(strategy, state, np.zeros((4, 1)), key).tensors["weights"] for key in ("x", "y", "x")]
    for step in steps[:2]:
        assert step.std() == pytest.approx(1.5 * 0.8 / 4, rel=0.01)
        assert abs(step.mean()) < 0.3 / math.sqrt(400_000) * 4
    assert abs(np.corrcoef(steps[0], steps[1])[0, 1]) < 0.01
    assert np.array_equal(steps[0], steps[2]), "noise follows from the key"
    halves = steps[0][: 1 << 17], steps[0][1 << 18 : (1 << 18) + (1 << 17)]
    assert abs(np.corrcoef(*halves)[0, 1]) < 0.02, "each chunk has its own"


def test_clients_are_drawn_each_by_itself_and_the_divisor_is_fixed() -> None:
    drawn = []
    for seed in range(40):
        strategy = strategy_of(10, seed, clients=3, rounds=20, noise_multiplier=0.0, clip=100.0)
        drawn += [[i.organizations[0] for i in strategy.plan(State("m", number))] for number in range(20)]
    counts = np.array([len(names) for names in drawn])
    # Binomial: mean 3, variance 2.1, both within five standard errors of 800 draws.
    assert abs(counts.mean() - 3) < 5 * math.sqrt(2.1 / 800)
    assert abs(counts.var() - 2.1) < 0.6
    assert counts.min() == 0
    both = sum("o1" in names and "o2" in names for names in drawn) / 800
    assert abs(both - 0.09) < 0.05, "two clients come together as often as chance has it"
    strategy = strategy_of(10, clients=5, noise_multiplier=0.0, clip=100.0)
    state = strategy.init("m", np.zeros(1, np.float32))
    came = len(strategy.plan(state))
    assert after(strategy, state, np.ones((came, 1))).tensors["weights"][0] == pytest.approx(came / 5)


def test_a_round_of_nobody_is_noise_and_not_the_end() -> None:
    strategy = strategy_of(4, clients=1, rounds=12, noise_multiplier=1.0)
    state, sizes = strategy.init("m", np.zeros(1000, np.float32)), []
    while not is_over(strategy, state, planned := strategy.plan(state)):
        sizes.append(len(planned))
        before = state.tensors["weights"]
        state = strategy.apply(state, [ClientUpdate(i, "k", 1, before) for i in planned], f"m{len(sizes)}")
        assert (state.tensors["weights"] - before).std() == pytest.approx(1.0, rel=0.15)
    assert len(sizes) == 12
    assert 0 in sizes


def test_the_clip_adapts_as_published() -> None:
    """Andrew et al., algorithm 1, in NumPy; counts as they have it, to which the halves add up."""
    generator = np.random.Generator(np.random.Philox(3))
    norms = generator.lognormal(1.0, 0.7, (30, 50))
    strategy = strategy_of(50, noise_multiplier=0.0, clip=0.1, quantile=0.5, clip_rate=0.2, rounds=30)
    state, found = strategy.init("m", np.zeros(4, np.float32)), []
    for number, row in enumerate(norms):
        changes = np.zeros((50, 4))
        changes[:, number % 4] = row
        state = after(strategy, state, changes)
        found.append(float(state.tensors[CLIP][0]))
    clip, expected = 0.1, []
    for row in norms:
        clip *= np.exp(-0.2 * ((row <= clip).mean() - 0.5))
        expected.append(clip)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_noise_of_the_count_is_taken_from_that_of_the_sum() -> None:
    strategy = strategy_of(4, noise_multiplier=1.0, clip=2.0, quantile=0.5, count_noise=0.7)
    state = strategy.init("m", np.zeros(400_000, np.float32))
    ends = [after(strategy, state, np.zeros((4, 1)), f"k{i}") for i in range(60)]
    share = (1 - (2 * 0.7) ** -2) ** -0.5
    assert ends[0].tensors["weights"].std() == pytest.approx(2.0 * share / 4, rel=0.01)
    # All four are within the clip: the logarithm moves by -0.2 * (0.5 + N(0, 0.7 / 4)).
    moves = np.log([end.tensors[CLIP][0] / 2.0 for end in ends])
    assert moves.mean() == pytest.approx(-0.1, abs=5 * 0.035 / math.sqrt(60))
    assert moves.std() == pytest.approx(0.2 * 0.7 / 4, rel=0.4)
    with pytest.raises(InputError, match=r"count_noise: 0\.4 uses up"):
        strategy_of(4, noise_multiplier=1.0, quantile=0.5, count_noise=0.4)


def test_a_target_decides_the_noise_and_two_settings_of_it_are_refused() -> None:
    loud, quiet = (strategy_of(4, target_epsilon=e, rounds=5).recipe()["noise_multiplier"] for e in (1.0, 8.0))
    assert loud > 4 * quiet > 4
    assert strategy_of(4, clients=1, target_epsilon=1.0, rounds=5).recipe()["noise_multiplier"] < loud
    with pytest.raises(ValueError, match="follows from target_epsilon"):
        DPFedAvgSettings(noise_multiplier=1.0, target_epsilon=8.0)


def test_organizations_that_drop_out_are_refused() -> None:
    with pytest.raises(InputError, match=r"^availability: .* is not accounted for; leave it out"):
        strategy_of(4, noise_multiplier=1.0, availability={"dropout": 0.1})
