"""Classes by their path; `test_flower.py` has what a person reads of those that do not fit."""

from typing import Any

import flwr.serverapp.strategy as flower_strategies
import pytest
from flower_peers import FLOWER, Remembering
from raysim.strategies.flower_classes import (
    check_enough_nodes,
    flower_class,
    make_flower_strategy,
    wrapped_strategies,
)

from raysim.core.errors import InputError
from raysim.training.flower_calls import Refused


def test_two_writings_of_a_path() -> None:
    assert flower_class(f"{FLOWER}.Krum", "x") is flower_class(f"{FLOWER}:Krum", "x") is flower_strategies.Krum
    assert flower_class("flower_peers:Remembering", "x") is Remembering


@pytest.mark.parametrize("path", ["", "Krum", ":Krum", "flower_peers:", "os.path:join.x"])
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(InputError, match=r"^strategies.x: .* cannot be imported"):
        flower_class(path, "strategies.x")


def test_arguments_that_are_strategies_are_made_too() -> None:
    inner = {"strategy": f"{FLOWER}.FedAvgM", "arguments": {"server_momentum": 0.5}}
    wrapping = {"noise_multiplier": 1.0, "clipping_norm": 2.0, "num_sampled_clients": 3}
    path = f"{FLOWER}.DifferentialPrivacyServerSideFixedClipping"
    strategy = make_flower_strategy(path, {"strategy": inner, **wrapping})
    assert [type(one).__name__ for one in wrapped_strategies(strategy)] == [path.rpartition(".")[2], "FedAvgM"]
    assert vars(strategy)["strategy"].server_momentum == 0.5
    plain = make_flower_strategy(path, {"strategy": {"strategy": f"{FLOWER}.FedAvg"}, **wrapping})
    assert type(vars(plain)["strategy"]) is flower_strategies.FedAvg


def test_an_object_that_changes_its_arguments_changes_nobody_elses() -> None:
    arguments = {"what": ["a"]}
    vars(make_flower_strategy("flower_peers:Sending", arguments))["what"].append("b")
    assert arguments == {"what": ["a"]}


@pytest.mark.parametrize(
    ("arguments", "waits_for"),
    [
        ({}, 2),
        ({"min_train_nodes": 3}, 3),
        ({"min_available_nodes": 4}, 4),
        ({"min_train_nodes": 1, "min_available_nodes": 1}, 1),
        ({"min_available_nodes": 9, "fraction_train": 0.0}, 0),
    ],
)
def test_nodes_that_a_strategy_waits_for(arguments: dict[str, Any], waits_for: int) -> None:
    inner = flower_strategies.FedAvg(**arguments)
    strategy = flower_strategies.DifferentialPrivacyServerSideFixedClipping(inner, 1.0, 1.0, 3)
    for number in range(1, 7):
        if number >= waits_for:
            check_enough_nodes(strategy, number)
        else:
            with pytest.raises(Refused, match=rf"FedAvg waits for {waits_for} organizations .* a round has {number};"):
                check_enough_nodes(strategy, number)
