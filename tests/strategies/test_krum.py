"""Krum and Multi-Krum beside the published formula by brute force, on clients of whom some send anything."""

from typing import Any

import numpy as np
import pytest
from raysim.strategies.krum import Krum, KrumSettings, MultiKrum, MultiKrumSettings

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation


def federation_of(number: int) -> Federation:
    return Federation(tuple(ClientInfo(f"o{i}", i + 1, 64, 1.0, 0.0) for i in range(number)), 10, "reset")


def sent(number: int, bad: int, seed: int) -> np.ndarray:
    """Clients near each other, but for `bad` of them somewhere."""
    generator = np.random.Generator(np.random.Philox(seed))
    weights = generator.standard_normal((number, 40), np.float32)
    weights[generator.permutation(number)[:bad]] *= 1e3
    return weights


def scores(weights: np.ndarray, byzantine: int) -> list[float]:
    found = []
    for i, one in enumerate(weights.astype(float)):
        others = sorted(float(np.square(one - other).sum()) for j, other in enumerate(weights) if j != i)
        found.append(sum(others[: len(weights) - byzantine - 2]))
    return found


def combined(strategy: Krum, weights: np.ndarray) -> Any:
    state = strategy.init("m", np.zeros(weights.shape[1], np.float32))
    updates = zip(strategy.plan(state), weights, strict=True)
    results = [ClientUpdate(a, f"k{i}", i + 1, w) for i, (a, w) in enumerate(updates)]
    return strategy.apply(state, results, "next").tensors["weights"]


@pytest.mark.parametrize(("number", "byzantine"), [(3, 0), (5, 1), (9, 3), (10, 2)])
def test_the_best_score_wins(number: int, byzantine: int) -> None:
    for seed in range(5):
        weights = sent(number, byzantine, seed)
        best = np.argsort(scores(weights, byzantine))
        krum = Krum(KrumSettings(byzantine=byzantine), federation_of(number))
        assert np.array_equal(combined(krum, weights), weights[best[0]])
        for m in (1, 2, None):
            chosen = best[: m or number - byzantine]
            multi = MultiKrum(MultiKrumSettings(byzantine=byzantine, selected=m), federation_of(number))
            np.testing.assert_allclose(combined(multi, weights), weights[chosen].mean(axis=0), atol=1e-6)
            counted = MultiKrum(
                MultiKrumSettings(byzantine=byzantine, selected=m, weighting="examples"), federation_of(number)
            )
            expected = np.average(weights[chosen], axis=0, weights=chosen + 1)
            np.testing.assert_allclose(combined(counted, weights), expected, atol=1e-6)


def test_of_two_clients_the_first_is_taken() -> None:
    weights = sent(2, 0, 1)
    assert np.array_equal(combined(Krum(KrumSettings(), federation_of(2)), weights), weights[0])


@pytest.mark.parametrize(
    ("number", "settings", "told"),
    [
        (4, {"byzantine": 1}, "byzantine: 1 of 4 clients a round, .* write at most 0"),
        (9, {"byzantine": 2, "clients": 6}, "byzantine: 2 of 6 clients a round, .* write at most 1"),
        (9, {"byzantine": 1, "clients": 5, "selected": 6}, "selected: 6, but a round has 5 clients"),
    ],
)
def test_more_than_can_be_outvoted_is_refused(number: int, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        MultiKrum.variants(MultiKrumSettings(**settings), federation_of(number))
