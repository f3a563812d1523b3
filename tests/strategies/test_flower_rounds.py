"""A rehearsal tells what the rounds of a run will ask for; `test_flower.py` has whole runs."""

from typing import Any

import numpy as np
import pytest
from flower_peers import FLOWER
from raysim.strategies.flower_rounds import FlowerRounds

from raysim.core.errors import InputError, RunError

METRICS = {node: {"num-examples": node, "train_loss": 1.0} for node in (1, 2, 3)}


def test_a_rehearsal_names_nodes_memory_and_arrays_of_each_round() -> None:
    rounds = FlowerRounds(f"{FLOWER}.FedAvgM", {"server_momentum": 0.5}, 1)
    rehearsed, remarks = rounds.rehearse([[1, 2, 3], [2, 3]], METRICS)
    assert [asked for asked, _, _ in rehearsed] == [{1: 0.0, 2: 0.0, 3: 0.0}, {2: 0.0, 3: 0.0}]
    assert [arrays for _, _, arrays in rehearsed] == [("flower_0",)] * 2
    assert [sorted(memory["attributes"]) for _, memory, _ in rehearsed] == [["current_arrays", "momentum_vector"]] * 2
    assert remarks == []


def test_a_rehearsal_goes_on_without_those_who_fail_and_ends_where_all_do() -> None:
    rounds = FlowerRounds(f"{FLOWER}.FedAvg", {}, 1)
    there = {1: [1, 3], 2: [2], 3: []}
    rehearsed, _ = rounds.rehearse([[1, 2, 3]] * 9, METRICS, lambda number, _: there[number])
    assert [set(asked) for asked, _, _ in rehearsed] == [{1, 2, 3}] * 3
    nothing = FlowerRounds("flower_peers:Changed", {"how": "nothing", "always": True}, 1)
    for some, told in (([1, 2], "of 2 replies and 1 failure"), ([1], "of 1 replies and 2 failures")):
        with pytest.raises(InputError, match=rf"in a rehearsal of round 1: makes no model {told}$"):
            nothing.rehearse([[1, 2, 3]], METRICS, lambda *_, some=some: some)


def test_remarks_come_once() -> None:
    _, remarks = FlowerRounds(f"{FLOWER}.FedProx", {}, 1).rehearse([[1, 2, 3]] * 3, METRICS)
    assert len(remarks) == 1
    assert remarks[0].startswith("Flower says: FedProx initialized with `proximal_mu=0.0`")


def test_a_constructor_that_logs_and_refuses_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"^arguments: FedTrimmedAvg does not take them"):
        FlowerRounds(f"{FLOWER}.FedTrimmedAvg", {"beta": 1.0, "fraction_train": 0.0}, 1).rehearse([[1, 2]], METRICS)
    assert capfd.readouterr() == ("", "")


def test_a_round_plays_as_it_was_rehearsed_or_not_at_all() -> None:
    rounds = FlowerRounds(f"{FLOWER}.FedAvg", {}, 1)
    start = np.zeros(2, np.float32)
    replies = {node: (start + np.float32(node), METRICS[node]) for node in METRICS}
    tensors, memory = rounds.play(1, {"weights": start}, {}, [1, 2, 3], {1: 0.0, 2: 0.0, 3: 0.0}, replies)
    np.testing.assert_allclose(tensors["weights"], [14 / 6, 14 / 6], rtol=1e-6)
    assert memory == {}
    with pytest.raises(RunError, match="FedAvg, round 1: asks others to train"):
        rounds.play(1, {"weights": start}, {}, [1, 2, 3], {1: 0.0, 2: 0.0}, replies)


# Numbers that Flower's own tests expect of its strategies (adap/flower, serverapp/strategy/*_test.py, and for what has
# none there server/strategy/*_test.py and common/differential_privacy_test.py), through the adapter.

ONE_TO_TEN, PRIMES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [29, 23, 19, 17, 13, 11, 7, 5, 3, 2]
WEIGHTED = [(one + 2 * other) / 3 for one, other in zip(ONE_TO_TEN, PRIMES, strict=True)]
QUARTERS = {1: [1.0, 0.2, 0.5, 1.0], 2: [0.2, 0.5, 1.0, 0.2], 3: [0.5, 1.0, 0.2, 0.5]}
ROTATED = {1: [0.5] * 4, **{node + 1: values for node, values in QUARTERS.items()}}
SCALARS, COUNTS = {1: [1.0], 2: [3.0]}, {1: 1, 2: 2}
NEARLY = {"server_learning_rate": 1.0 + 1e-9}
SIX = {1: [0.2], 2: [0.5], 3: [0.7], 4: [12.0], 5: [0.1], 6: [0.1]}

LITERALS: dict[str, tuple[Any, ...]] = {
    "the average": ("FedAvg", {}, {1: ONE_TO_TEN, 2: PRIMES}, COUNTS, 0.0, 1, WEIGHTED),
    "momentum: none": ("FedAvgM", NEARLY, {1: ONE_TO_TEN, 2: PRIMES}, COUNTS, 0.0, 1, WEIGHTED),
    "momentum: next to none": (
        "FedAvgM", {**NEARLY, "server_momentum": 1e-9}, {1: ONE_TO_TEN, 2: PRIMES}, COUNTS, 0.0, 2, WEIGHTED,
    ),
    "momentum: a scalar": ("FedAvgM", NEARLY, SCALARS, COUNTS, 0.0, 1, [7 / 3]),
    "median": ("FedMedian", {}, QUARTERS, {1: 5, 2: 2, 3: 9}, 0.0, 1, [0.5] * 4),
    "median: a scalar": ("FedMedian", {}, {1: [1.0], 2: [3.0], 3: [2.0]}, {1: 1, 2: 1, 3: 1}, 0.0, 1, [2.0]),
    "trimmed": ("FedTrimmedAvg", {"beta": 0.25}, ROTATED, {1: 1, 2: 5, 3: 2, 4: 9}, 0.0, 1, [0.5] * 4),
    "trimmed: a scalar": (
        "FedTrimmedAvg", {"beta": 0.25}, {1: [0.5], 2: [1.0], 3: [2.0], 4: [100.0]}, {1: 1, 2: 1, 3: 1, 4: 1}, 0.0, 1,
        [1.5],
    ),
    "krum": (
        "Krum", {"num_malicious_nodes": 1}, {1: [0.2] * 4, 2: [0.7] * 4, 3: [1.0] * 4}, {1: 5, 2: 5, 3: 5}, 0.1, 1,
        [0.7] * 4,
    ),
    "multikrum": (
        "MultiKrum", {"num_malicious_nodes": 1, "num_nodes_to_select": 2},
        {1: [0.2] * 4, 2: [0.5] * 4, 3: [1.0] * 4}, {1: 5, 2: 5, 3: 5}, 0.1, 1, [0.35] * 4,
    ),
    "bulyan: nobody malicious": (
        "Bulyan", {"num_malicious_nodes": 0}, SIX, dict.fromkeys(SIX, 5), 0.1, 1, [13.6 / 6],
    ),
    "bulyan: the mean of all": (
        "Bulyan", {"num_malicious_nodes": 0}, {1: [1.0, 2.0], 2: [-1.0, 0.0], 3: [3.0, 4.0]}, {1: 1, 2: 1, 3: 1}, 0.0,
        1, [1.0, 2.0],
    ),
    "bulyan: all alike": (
        "Bulyan", {"num_malicious_nodes": 0}, {1: [5.0, 5.0], 2: [5.0, 5.0], 3: [5.0, 5.0]}, {1: 1, 2: 1, 3: 1}, 42.0,
        1, [5.0, 5.0],
    ),
    "adagrad": (
        "FedAdagrad", {"eta": 0.1, "eta_l": 0.316, "tau": 0.5}, {1: [0.2] * 4, 2: [1.0] * 4}, {1: 5, 2: 5}, 0.1, 1,
        [0.15] * 4,
    ),
    # Of a scalar Flower's tests expect that it is finite: after one round from 0, with d = 7/3, Adagrad steps by
    # eta d / (d + tau), Yogi by eta .1 d / (sqrt(.01) d + tau), and Adam's eta is corrected with exponent 2.
    "adagrad: a scalar": (
        "FedAdagrad", {"eta": 0.1, "tau": 0.001}, SCALARS, COUNTS, 0.0, 1, [0.1 * (7 / 3) / (7 / 3 + 0.001)],
    ),
    "yogi: a scalar": (
        "FedYogi", {"eta": 0.1, "tau": 0.001}, SCALARS, COUNTS, 0.0, 1, [0.1 * (0.7 / 3) / (0.7 / 3 + 0.001)],
    ),
    "adam: a scalar": (
        "FedAdam", {"eta": 0.1, "tau": 0.001}, SCALARS, COUNTS, 0.0, 1,
        [0.1 * (1 - 0.99**2) ** 0.5 / (1 - 0.9**2) * (0.7 / 3) / (0.7 / 3 + 0.001)],
    ),
    # Flower has no test of its numbers: with L = 10, q = 1, losses 2 and 4, the deltas are 2 * 10 and 4 * 30, and h is
    # 100 + 10 * 2 and 900 + 10 * 4 (Li et al., ICLR 2020, arXiv 1905.10497, algorithm 2).
    "qfedavg: a scalar": ("QFedAvg", {"client_learning_rate": 0.1, "q": 1.0}, SCALARS, COUNTS, 0.0, 1, [140 / 1060]),
    "clipping: an update within its norm": (
        "DifferentialPrivacyClientSideFixedClipping",
        {
            "strategy": {"strategy": f"{FLOWER}.FedAvg"}, "noise_multiplier": 0.0, "clipping_norm": 4.0,
            "num_sampled_clients": 2,
        },
        {1: [0.5, 1.5, 2.5], 2: [0.5, 1.5, 2.5]}, {1: 1, 2: 1}, 1.0, 1, [0.5, 1.5, 2.5],
    ),
}  # fmt: skip
"""Class, arguments, what each node answers, its examples, each weight at first, rounds, and the weights after them."""


def weights_after(
    name: str,
    arguments: dict[str, Any],
    answers: dict[int, list[float]],
    counts: dict[int, int],
    start: float,
    rounds: int,
) -> np.ndarray:
    """The server's weights after rounds in which nodes always answer alike; losses are twice the node."""
    made, nodes = FlowerRounds(f"{FLOWER}.{name}", arguments, 1), sorted(answers)
    metrics = {node: {"num-examples": counts[node], "train_loss": 2.0 * node} for node in nodes}
    rehearsed, _ = made.rehearse([nodes] * rounds, metrics)
    replies = {node: (np.array(values, np.float32), metrics[node]) for node, values in answers.items()}
    tensors: dict[str, Any] = {"weights": np.full(len(answers[1]), start, np.float32)}
    memory: dict[str, Any] = {}
    for number, (planned, _, _) in enumerate(rehearsed, start=1):
        tensors, memory = made.play(number, tensors, memory, nodes, planned, replies)
    return tensors["weights"]


@pytest.mark.parametrize("case", LITERALS)
def test_what_flowers_own_tests_expect(case: str) -> None:
    *given, expected = LITERALS[case]
    np.testing.assert_allclose(weights_after(*given), np.array(expected, np.float32), rtol=2e-6)


def test_noise_has_the_deviation_that_flowers_own_test_expects() -> None:
    """Multiplier 1, norm 0.5 and ten clients: 0.05; each of 10,000 weights moves by less than a thousandth."""
    arguments = {
        "strategy": {"strategy": f"{FLOWER}.FedAvg"},
        **{"noise_multiplier": 1.0, "clipping_norm": 0.5, "num_sampled_clients": 10},
    }
    answers = {node: [node * 1e-6] * 10_000 for node in range(1, 11)}
    counts = dict.fromkeys(answers, 1)
    weights = weights_after("DifferentialPrivacyServerSideFixedClipping", arguments, answers, counts, 0.0, 1)
    assert weights.std() == pytest.approx(0.05, rel=0.03)
    assert abs(weights.mean()) < 0.002
