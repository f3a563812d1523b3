import numpy as np
from raysim.strategies.fedavgm import FedAvgM, FedAvgMSettings

from raysim.simulation.strategy import Federation


def test_three_rounds_by_hand(federation: Federation, play) -> None:
    """Every round the mean moves by (1, -2); the velocity is 1, 1.5, 1.75 times that, and half of it is stepped."""
    strategy = FedAvgM(FedAvgMSettings(rounds=3, momentum=0.5, eta=0.5), federation)
    change = np.array([1, -2], np.float32)
    states = play(strategy, [0, 0], lambda _, __, w: w + change)
    assert [s.tensors["velocity"].tolist() for s in states[1:]] == [[1, -2], [1.5, -3], [1.75, -3.5]]
    assert [s.tensors["weights"].tolist() for s in states] == [[0, 0], [0.5, -1], [1.25, -2.5], [2.125, -4.25]]


def test_both_numbers_are_in_the_recipe(federation: Federation) -> None:
    assert FedAvgM(FedAvgMSettings(momentum=0.5, eta=2), federation).recipe() == {
        "strategy": "fedavgm", "version": 1, "momentum": 0.5, "eta": 2.0
    }  # fmt: skip
