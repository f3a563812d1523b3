"""Small federations, and rounds of a strategy without a run around it."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State, Strategy
from raysim.training.weights import Flat


@pytest.fixture
def federation() -> Federation:
    """Three organizations of 1, 2 and 5 sequences of 64 tokens, 10 epochs, fresh optimizers in each round."""
    clients = (ClientInfo("a", 1, 64, 1.0, 0.0), ClientInfo("b", 2, 128, 1.0, 0.0), ClientInfo("c", 5, 320, 1.0, 0.0))
    return Federation(clients, 10, "reset")


Rounds = Callable[..., list[State]]


@pytest.fixture
def play() -> Rounds:
    """Plays rounds of an aggregating strategy; in round r, client i of the plan returns ``train(r, i, weights)``."""

    def rounds(strategy: Strategy, start: Sequence[float], train: Callable[[int, int, Flat], Flat]) -> list[State]:
        states = [strategy.init("initial", np.array(start, np.float32))]
        sequences = {"a": 1, "b": 2, "c": 5}
        while instructions := strategy.plan(states[-1]):
            number = len(states)
            weights = states[-1].tensors["weights"]
            results = [
                ClientUpdate(
                    a, f"stage {number}.{i}", sum(sequences[o] for o in a.organizations), train(number, i, weights)
                )
                for i, a in enumerate(instructions)
            ]
            states.append(strategy.apply(states[-1], results, f"model {number}"))
        return states

    return rounds
