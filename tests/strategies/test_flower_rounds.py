"""A rehearsal tells what the rounds of a run will ask for; `test_flower.py` has whole runs."""

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
