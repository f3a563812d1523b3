import statistics

import numpy as np
import pytest
from raysim.strategies.federated import FederatedSettings
from raysim.strategies.fedmedian import FedMedian

from raysim.simulation.strategy import Federation


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_each_coordinate_is_the_median_of_the_clients(clients: int, federation: Federation, play) -> None:
    strategy = FedMedian(FederatedSettings(rounds=1, clients=clients), federation)
    moves = np.array([[7, -1, 0], [2, -3, 0], [4, 1e20, -5]], np.float32)
    last = play(strategy, [0, 0, 0], lambda _, i, w: w + moves[i])[-1]
    assert last.tensors["weights"].tolist() == [statistics.median(column) for column in moves[:clients].T.tolist()]
