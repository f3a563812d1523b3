"""A strategy's state between rounds, on weights of two numbers."""

import math
from typing import Any

import numpy as np
import pytest
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.fedavgm import FedAvgM
from raysim.strategies.fedmedian import FedMedian
from raysim.strategies.single import Single

from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation
from raysim.simulation.strategy_actor import NO_WEIGHTS, RoundPlan, StrategyActor
from raysim.training.adapters import Adapter, Adapters, Factor
from raysim.training.lora import LoraSettings

FEDERATION = Federation((ClientInfo("a", 1, 10, 1.0, 0.0), ClientInfo("b", 3, 30, 1.0, 0.0)), 4, "reset")


@pytest.fixture
def fedavg() -> FedAvg:
    return FedAvg(FedAvgSettings(rounds=2), FEDERATION)


def updates(plan: RoundPlan) -> list[ClientUpdate]:
    counts = {"a": 1, "b": 3}
    return [
        ClientUpdate(one, f"trained {one.organizations[0]}", counts[one.organizations[0]]) for one in plan.instructions
    ]


def test_a_strategy_that_does_not_aggregate_holds_keys_alone() -> None:
    actor = StrategyActor(Single.variants(Single.Settings(), FEDERATION)[0])  # type: ignore[arg-type]
    plan = actor.begin("initial")
    (instruction,) = plan.instructions
    assert (instruction.organizations, instruction.model) == (("a",), "initial")
    after = actor.advance([ClientUpdate(instruction, "trained a", 1)])
    assert after.instructions == ()
    assert after.control == {"model": "trained a", "round": 1, "client_states": {}}
    assert [checkpoint.final for checkpoint in after.checkpoints] == [True]


def test_an_average_by_hand(fedavg: FedAvg) -> None:
    """1/4 of (0, 8) and 3/4 of (4, 0)."""
    actor = StrategyActor(fedavg)
    begun = updates(actor.begin("initial"))
    weights: list[Any] = [np.array([0, 8], np.float32), np.array([4, 0], np.float32)]
    aggregated = actor.aggregate(("weights",), begun, "average", np.zeros(2, np.float32), *weights)
    (average,) = actor.new_tensors()
    assert average.tolist() == [3.0, 2.0]
    assert list(actor.new_tensors()) == []
    assert aggregated.tensors == ("weights",)
    assert aggregated.control == {"model": "average", "round": 1, "client_states": {}}
    assert aggregated.norms == {"updates": [8.0, 4.0], "step": math.sqrt(13)}
    assert [one.model for one in aggregated.plan.instructions] == ["average", "average"]


def test_a_state_is_taken_over_by_its_facts_alone(fedavg: FedAvg) -> None:
    one, other = StrategyActor(fedavg), StrategyActor(fedavg)
    begun = updates(one.begin("initial"))
    weights: list[Any] = [np.array([2], np.float32), np.array([2], np.float32)]
    aggregated = one.aggregate(("weights",), begun, "average", np.zeros(1, np.float32), *weights)
    assert other.restore(aggregated.control) == one.restore(aggregated.control) == aggregated.plan
    again: list[Any] = [np.array([6], np.float32), np.array([6], np.float32)]
    (made,) = one.new_tensors()
    one.aggregate(("weights",), updates(aggregated.plan), "second", made, *again)
    (average,) = one.new_tensors()
    assert average.tolist() == [6.0]


def one_number() -> tuple[Adapter, ...]:
    """A of one number, then B of one."""
    return (Adapter(Factor(1, 1, 1), Factor(0, 1, 1), 1.0),)


@pytest.mark.parametrize(
    ("strategy_class", "gaps"),
    [(FedAvg, {"factor_gap": 0.125, "average_gap": 0.125}), (FedAvgM, {"factor_gap": 0.125}), (FedMedian, {})],
)
def test_gaps_of_adapters_are_noted_of_averages(strategy_class: Any, gaps: dict[str, float]) -> None:
    """1/4 of 3 x 3 and 3/4 of 1 x 5 is 6; the factors average to 1.5 and 4.5, and FedAvg makes 6.75 of them."""
    actor = StrategyActor(strategy_class(strategy_class.Settings(), FEDERATION), Adapters(LoraSettings(), one_number))
    begun = updates(actor.begin("initial"))
    weights: list[Any] = [np.array([3, 3], np.float32), np.array([1, 5], np.float32)]
    aggregated = actor.aggregate(("weights",), begun, "average", np.zeros(2, np.float32), *weights)
    assert {n: v for n, v in aggregated.norms.items() if n.endswith("gap")} == pytest.approx(gaps)


def test_in_plans_there_are_no_weights() -> None:
    assert NO_WEIGHTS.size == 0
