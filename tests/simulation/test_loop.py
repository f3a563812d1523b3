"""The loop with an executor that writes down what it is asked for."""

import asyncio
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.simulation.loop import simulate, strategy_runs
from raysim.simulation.planner import Planner
from raysim.simulation.registry import resolve


class Recording(Planner):
    """A planner that also writes down the order of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def train(self, strategy_run: Any, round_plan: Any, instruction: Any) -> Any:
        name = instruction.organizations[0]
        self.calls.append(f"begin {name}")
        await asyncio.sleep(0)
        self.calls.append(f"end {name}")
        return await super().train(strategy_run, round_plan, instruction)

    async def apply(self, strategy_run: Any, round_plan: Any, results: Any) -> Any:
        self.calls.append("apply " + " ".join(update.instruction.organizations[0] for update in results))
        return await super().apply(strategy_run, round_plan, results)

    async def reached(self, strategy_run: Any, round_plan: Any, checkpoint: Any) -> None:
        self.calls.append(f"{checkpoint.moment} {checkpoint.index}")

    async def finish(self, strategy_run: Any) -> None:
        self.calls.append("finish")


def test_instructions_of_a_round_run_at_once_and_are_applied_in_order(make_context) -> None:
    context = make_context({"a": 3, "b": 4})
    (strategy_run,) = strategy_runs(resolve({"fedavg": {"rounds": 2}}, "s"), context)
    executor = Recording()
    asyncio.run(simulate(strategy_run, executor))
    one_round = ["begin a", "begin b", "end a", "end b", "apply a b"]
    assert executor.calls == ["initial 0", *one_round, "round 1", *one_round, "round 2", "finish"]


def test_a_strategy_that_cannot_go_on_ends_and_says_why(make_context) -> None:
    context = make_context({"a": 3, "b": 4})
    never = {"dropout": {"b": 0.99}, "policy": "stop"}
    (strategy_run,) = strategy_runs(resolve({"fedavg": {"rounds": 2, "availability": never}}, "s"), context)
    executor = Recording()
    asyncio.run(simulate(strategy_run, executor))
    assert executor.calls == ["initial 0", "finish"]
    told = "fedavg, seed 1: the run will end in round 1: b drops out, and availability.policy is stop"
    assert executor.plan.stops == [told]


def test_a_name_has_the_order_where_there_are_several(make_context, strategy_runs_of) -> None:
    context = make_context({"a": 3, "b": 4})
    assert [run.name for run in strategy_runs_of(context, [{"fedavg": {"rounds": 1}}])] == ["fedavg"]
    names = [run.name for run in strategy_runs_of(context, ["incremental"])]
    assert names == ["incremental a > b", "incremental b > a"]


def test_a_setting_runs_in_each_of_its_variants(make_context) -> None:
    context = make_context({"a": 1, "b": 2})
    runs = strategy_runs(resolve({"incremental": {"label": "orders"}}, "s"), context)
    assert [run.strategy.order for run in runs] == ["a > b", "b > a"]
    assert {run.label for run in runs} == {"orders"}
    assert all(run.context is context for run in runs)


def test_a_run_is_named_by_its_order_where_there_are_several(make_context) -> None:
    context = make_context({"a": 1, "b": 2})
    names = [
        run.name for entry in ("single", "centralized", "fedavg") for run in strategy_runs(resolve(entry, "s"), context)
    ]
    assert names == ["single a", "single b", "centralized", "fedavg"]


def test_two_runs_of_one_setting_are_two(make_context) -> None:
    context, config = make_context({"a": 1, "b": 2}), resolve("centralized", "s")
    (one,), (other,) = strategy_runs(config, context), strategy_runs(config, context)
    assert one != other


def test_settings_that_do_not_fit_are_refused(make_context) -> None:
    with pytest.raises(InputError, match="strategies: fedavg: clients: 3 a round"):
        strategy_runs(resolve({"fedavg": {"clients": 3}}, "s"), make_context({"a": 1, "b": 2}))
