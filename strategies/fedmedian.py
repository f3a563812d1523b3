"""FedMedian: the server takes the median of the clients in every coordinate, which few of them cannot move far.

Yin, Chen, Ramchandran & Bartlett: Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018,
arXiv 1803.01498, definition 1 and algorithm 1, option I. Of an even number of clients it is the mean of the middle two.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from raysim.strategies.averages import coordinate_wise
from raysim.strategies.federated import Combining

from raysim.simulation.strategy import ClientUpdate, State
from raysim.training.weights import Flat


class FedMedian(Combining):
    """All clients count alike, whatever their number of sequences."""

    name = "fedmedian"

    def _combine(self, state: State, results: Sequence[ClientUpdate]) -> Flat:
        return coordinate_wise([result.weights for result in results], partial(np.median, axis=0))
