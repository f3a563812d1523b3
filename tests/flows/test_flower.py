"""raysim's server steps beside Flower's own classes, run for real on the same arrays."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.fedavgm import FedAvgM, FedAvgMSettings
from raysim.strategies.federated import FederatedSettings
from raysim.strategies.fedmedian import FedMedian
from raysim.strategies.fedopt import FedAdagrad, FedAdagradSettings, FedAdam, FedOptSettings, FedYogi
from raysim.strategies.fedtrimmedavg import FedTrimmedAvg, FedTrimmedAvgSettings
from raysim.strategies.krum import Krum, KrumSettings, MultiKrum, MultiKrumSettings

from raysim.simulation.strategy import Federation
from raysim.training.weights import Flat

ROUNDS, SIZE, COUNTS = 6, 1000, (1, 2, 5)
OPTIMIZER = {"eta": 0.03, "beta_1": 0.8, "beta_2": 0.95, "tau": 0.01}

Step = Callable[[int, Flat, list[Flat]], np.ndarray]


class ThreeNodes:
    """The part of Flower's Grid that a strategy asks when it configures a round."""

    def get_node_ids(self) -> list[int]:
        return [1, 2, 3]


@pytest.fixture(scope="module")
def flower() -> Iterator[Callable[..., Step]]:
    """Makes a function (round, server weights, client weights) -> new server weights out of a Flower strategy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of click, on import
        from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
        from flwr.serverapp import strategy as flower_strategies
        from flwr.supercore.task_identity import TaskIdentity

    def make(name: str, **settings: float) -> Step:
        strategy = getattr(flower_strategies, name)(**settings)

        def step(number: int, weights: Flat, clients: list[Flat]) -> np.ndarray:
            def record(values: np.ndarray) -> Any:
                return ArrayRecord({"w": Array(values)})

            asked = sorted(
                strategy.configure_train(number, record(weights), ConfigRecord({}), ThreeNodes()),
                key=lambda message: message.metadata.dst_node_id,
            )
            replies = [
                Message(
                    RecordDict({"arrays": record(client), "metrics": MetricRecord({"num-examples": count})}),
                    reply_to=message,
                )
                for message, client, count in zip(asked, clients, COUNTS, strict=True)
            ]
            arrays, _ = strategy.aggregate_train(number, replies)
            return arrays["w"].numpy()

        return step

    before = TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id
    TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = 1, 1, 1
    yield make
    TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before


def clients_of(number: int, weights: Flat) -> list[Flat]:
    """Three clients that moved away from `weights`, each parameter at its own scale."""
    generator = np.random.Generator(np.random.Philox([number, 7]))
    scale = np.logspace(-4, 1, SIZE).astype(np.float32)
    return [np.add(weights, scale * generator.standard_normal(SIZE, np.float32), dtype=np.float32) for _ in COUNTS]


PAIRS = {
    "FedAvg": (FedAvg, FedAvgSettings, {}),
    "FedYogi": (FedYogi, FedOptSettings, OPTIMIZER),
    "FedAdam": (FedAdam, FedOptSettings, OPTIMIZER),
    # Flower's class takes neither beta: it runs without a first moment, as ours does by default.
    "FedAdagrad": (FedAdagrad, FedAdagradSettings, {"eta": 0.03, "tau": 0.01}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_rounds_equal_flowers(name: str, flower, federation: Federation, play) -> None:
    cls, settings_class, numbers = PAIRS[name]
    variant = {"variant": "flower"} if numbers else {}
    (ours,) = cls.variants(settings_class(rounds=ROUNDS, **variant, **numbers), federation)
    start = np.linspace(-1, 1, SIZE, dtype=np.float32)
    # Each follows its own weights, so that a difference in one round would grow in the next.
    states = play(ours, start, lambda number, i, weights: clients_of(number, weights)[i])
    theirs, step = start, flower(name, **numbers)
    for number, state in enumerate(states[1:], start=1):
        theirs = step(number, theirs, clients_of(number, theirs)).astype(np.float32)
        np.testing.assert_allclose(state.tensors["weights"], theirs, rtol=1e-5, atol=1e-6)
    assert np.abs(states[-1].tensors["weights"] - start).max() > 0.01


OTHERS: dict[str, tuple[Any, Any, dict[str, float]]] = {
    "FedAvgM": (
        FedAvgM,
        FedAvgMSettings(rounds=20, momentum=0.8, eta=0.5),
        {"server_momentum": 0.8, "server_learning_rate": 0.5},
    ),
    "FedMedian": (FedMedian, FederatedSettings(rounds=20), {}),
    "FedTrimmedAvg": (FedTrimmedAvg, FedTrimmedAvgSettings(rounds=20, beta=0.34), {"beta": 0.34}),
    "Krum": (Krum, KrumSettings(rounds=20), {"num_malicious_nodes": 0}),
    "MultiKrum": (
        MultiKrum,
        MultiKrumSettings(rounds=20, selected=2, weighting="examples"),
        {"num_malicious_nodes": 0, "num_nodes_to_select": 2},
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_twenty_rounds_equal_flowers(name: str, flower, federation: Federation, play) -> None:
    cls, settings, numbers = OTHERS[name]
    (ours,) = cls.variants(settings, federation)
    start = np.linspace(-1, 1, SIZE, dtype=np.float32)
    states = play(ours, start, lambda number, i, weights: clients_of(number, weights)[i])
    theirs, step = start, flower(name, **numbers)
    for number, state in enumerate(states[1:], start=1):
        theirs = step(number, theirs, clients_of(number, theirs)).astype(np.float32)
        np.testing.assert_allclose(state.tensors["weights"], theirs, rtol=1e-6, atol=1e-6)
    assert len(states) == 21
    assert np.abs(states[-1].tensors["weights"] - start).max() > 0.01


def test_fedavg_equals_flowers_bit_for_bit(flower, federation: Federation, play) -> None:
    (ours,) = FedAvg.variants(FedAvgSettings(rounds=1), federation)
    start = np.linspace(-1, 1, SIZE, dtype=np.float32)
    last = play(ours, start, lambda number, i, weights: clients_of(number, weights)[i])[-1]
    theirs = flower("FedAvg")(1, start, clients_of(1, start))
    assert np.array_equal(last.tensors["weights"], theirs)


def test_flowers_fedadam_on_the_example(flower) -> None:
    """The number beside which `variant: paper` gives 0.2337; see test_fedopt."""
    weights, step = np.zeros(1, np.float32), flower("FedAdam", eta=0.1)
    for number in (1, 2):
        weights = step(number, weights, [(weights + 2).astype(np.float32)] * 3).astype(np.float32)
    assert weights[0] == pytest.approx(0.1592, abs=5e-5)
