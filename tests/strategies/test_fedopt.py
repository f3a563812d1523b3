"""Server optimizers against hand-computed rounds, with eta 0.1, beta_1 0.5, beta_2 0.75 and tau 0.5.

Three parameters, all from 0. In round 1 the clients' mean moves by (1, -2, 0), in round 2 by (1, 2, 4).
"""

import numpy as np
import pytest
from raysim.strategies.fedopt import FedAdagrad, FedAdagradSettings, FedAdam, FedOpt, FedOptSettings, FedYogi

from raysim.simulation.strategy import Federation

NUMBERS = {"eta": 0.1, "beta_1": 0.5, "beta_2": 0.75, "tau": 0.5}
DELTAS = ([1, -2, 0], [1, 2, 4])


def strategy_of(cls: type[FedOpt], federation: Federation, **settings) -> FedOpt:
    chosen = FedAdagradSettings if cls is FedAdagrad else FedOptSettings
    (strategy,) = cls.variants(chosen(**{"rounds": 2, **settings}), federation)
    return strategy


# The first moment is .5 m + .5 delta in every case: (.5, -1, 0), then (.75, .5, 2).
FIRST = ([0.5, -1, 0], [0.75, 0.5, 2])
# The second moment after each round, worked out from algorithm 2 with v_0 = tau^2 = .25 (paper) or 0 (Flower), and the
# weights in the end, which follow from the moments: the sum over rounds of 0.1 m / (sqrt(v) + .5). Flower's FedAdam has
# 0.1 sqrt(1 - .75^2) / (1 - .5^2) for 0.1 in round 1, 0.1 sqrt(1 - .75^3) / (1 - .5^3) in round 2.
CASES = [
    # Adam: .75 v + .25 delta^2.
    (FedAdam, "paper", [[0.4375, 1.1875, 0.1875], [0.578125, 1.890625, 4.140625]], [0.1025576, -0.0362373, 0.0789001]),
    (FedAdam, "flower", [[0.25, 1, 0], [0.4375, 1.75, 4]], [0.1002095, -0.0349594, 0.0695173]),
    # Yogi: v - .25 delta^2 sign(v - delta^2). From .25 up by .25, up by 1, and where nothing moved as it was.
    (FedYogi, "paper", [[0.5, 1.25, 0.25], [0.75, 2.25, 4.25]], [0.0963252, -0.0368034, 0.0780776]),
    (FedYogi, "flower", [[0.25, 1, 0], [0.5, 2, 4]], [0.1121320, -0.0405463, 0.08]),
    # Adagrad: v + delta^2.
    (FedAdagrad, "paper", [[1.25, 4.25, 0.25], [2.25, 8.25, 16.25]], [0.0684017, -0.0242121, 0.0441391]),
    (FedAdagrad, "flower", [[1, 4, 0], [2, 8, 16]], [0.0725139, -0.0249779, 0.0444444]),
]


@pytest.mark.parametrize(("cls", "variant", "second", "weights"), CASES)
def test_two_rounds_by_hand(
    cls: type[FedOpt], variant: str, second: list[list[float]], weights: list[float], federation: Federation, play
) -> None:
    strategy = strategy_of(cls, federation, variant=variant, **NUMBERS)
    states = play(strategy, [0, 0, 0], lambda number, _, w: w + np.array(DELTAS[number - 1], np.float32))
    for state, m, v in zip(states[1:], FIRST, second, strict=True):
        np.testing.assert_allclose(state.tensors["m"], m, rtol=1e-6)
        np.testing.assert_allclose(state.tensors["v"], v, rtol=1e-6)
        assert {t.dtype for t in state.tensors.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(states[-1].tensors["weights"], weights, atol=2e-7)


def test_yogi_comes_down_where_changes_became_small(federation: Federation, play) -> None:
    """From v = 1 (paper, tau 1), a change of 0.5 gives 1 - .25 * .25."""
    strategy = strategy_of(FedYogi, federation, **{**NUMBERS, "tau": 1, "rounds": 1})
    (_, state) = play(strategy, [0], lambda _, __, w: w + np.float32(0.5))
    assert state.tensors["v"].tolist() == [0.9375]


@pytest.mark.parametrize(("variant", "expected"), [("paper", 0.2337), ("flower", 0.1592)])
def test_fedadam_variants_differ(variant: str, expected: float, federation: Federation, play) -> None:
    """Two rounds in which the mean moves by 2, with eta 0.1: Flower corrects the bias, the paper does not."""
    strategy = strategy_of(FedAdam, federation, eta=0.1, variant=variant)
    last = play(strategy, [0], lambda _, __, w: w + np.float32(2))[-1]
    assert last.tensors["weights"][0] == pytest.approx(expected, abs=5e-5)


def test_adagrad_has_no_first_moment_by_default(federation: Federation, play) -> None:
    states = play(strategy_of(FedAdagrad, federation), [0], lambda number, _, w: w + np.float32(number))
    assert [s.tensors["m"].tolist() for s in states[1:]] == [[1.0], [2.0]]


@pytest.mark.parametrize("variant", ["paper", "flower"])
@pytest.mark.parametrize("cls", [FedAdam, FedYogi, FedAdagrad])
def test_finite_over_50_rounds(cls: type[FedOpt], variant: str, federation: Federation, play) -> None:
    """Flower's FedYogi once gave NaN after the second round (issue 1060): changes of all sizes, and none at all."""
    generator = np.random.Generator(np.random.Philox(1))
    scales = np.array([0.0, 1e-12, 1e-3, 1.0, 1e6], np.float32)
    strategy = strategy_of(cls, federation, variant=variant, rounds=50)
    states = play(strategy, [0] * 5, lambda _, __, w: w + scales * generator.standard_normal(5, np.float32))
    assert len(states) == 51
    for state in states:
        assert all(np.isfinite(tensor).all() for tensor in state.tensors.values())
    assert states[-1].tensors["weights"][0] == 0.0
