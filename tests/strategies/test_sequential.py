import itertools
from typing import Any

import pytest
from raysim.strategies.centralized import Centralized, CentralizedSettings
from raysim.strategies.incremental import Incremental, IncrementalSettings
from raysim.strategies.sequential import SequentialSettings, SequentialStrategy
from raysim.strategies.single import Single

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State


def stages_of(strategy: SequentialStrategy) -> list[tuple[str, ...]]:
    """Plays the strategy and notes who trains; each stage from the stage before."""
    state = strategy.init("initial", None)  # type: ignore[arg-type]
    stages, model = [], "initial"
    while instructions := strategy.plan(state):
        (instruction,) = instructions
        assert (instruction.model, instruction.client_state, instruction.keep_state) == (model, None, False)
        assert instruction.epochs == instruction.horizon_epochs == 10
        stages.append(instruction.organizations)
        model = f"stage {len(stages)}"
        state = strategy.apply(state, [ClientUpdate(instruction, model, 1)], "not used")
        assert (state.model, state.tensors) == (model, {})
    return stages


def incremental(federation: Federation, orders) -> list[Incremental]:
    return list(Incremental.variants(IncrementalSettings.model_validate({"orders": orders}), federation))


def test_single_is_an_organization_each(federation: Federation) -> None:
    strategies = Single.variants(SequentialSettings(), federation)
    assert [stages_of(s) for s in strategies] == [[("a",)], [("b",)], [("c",)]]
    assert [s.order for s in strategies] == ["a", "b", "c"]


def test_centralized_is_one_pooled_stage(federation: Federation) -> None:
    (strategy,) = Centralized.variants(CentralizedSettings(), federation)
    assert stages_of(strategy) == [("a", "b", "c")]
    assert strategy.order == "a + b + c"


def test_only_a_pool_of_several_is_packed_together(federation: Federation) -> None:
    def pooled(federation: Federation, asked: bool = True) -> bool:
        (strategy,) = Centralized.variants(CentralizedSettings(pooled_packing=asked), federation)
        (instruction,) = strategy.plan(State("initial"))
        return instruction.pooled_packing

    assert pooled(federation)
    assert not pooled(federation, asked=False)
    alone = Federation((ClientInfo("a", 1, 64, 1.0, 0.0),), 1, "reset")
    assert not pooled(alone)
    (caution,) = CentralizedSettings(pooled_packing=True).cautions(10)
    assert "prefix prompts" in caution
    assert not CentralizedSettings().cautions(10)


def test_leave_one_out_adds_every_pool_without_one(federation: Federation) -> None:
    pools = Centralized.variants(CentralizedSettings(leave_one_out=True, fraction=0.5), federation)
    assert [stages_of(pool) for pool in pools] == [[("a", "b", "c")], [("b", "c")], [("a", "c")], [("a", "b")]]
    assert [(pool.order, pool.members, pool.fraction) for pool in pools[2:3]] == [("a + c", ("a", "c"), 0.5)]
    alone = Federation((ClientInfo("a", 1, 64, 1.0, 0.0),), 1, "reset")
    with pytest.raises(InputError, match="needs two organizations"):
        Centralized.variants(CentralizedSettings(leave_one_out=True), alone)


def test_all_orders_of_three_are_six(federation: Federation) -> None:
    strategies = incremental(federation, "all")
    assert [s.order for s in strategies] == [" > ".join(order) for order in itertools.permutations("abc")]
    assert stages_of(strategies[3]) == [("b",), ("c",), ("a",)]


def test_listed_orders_may_leave_an_organization_out(federation: Federation) -> None:
    strategies = incremental(federation, [["c", "a"], ["b"]])
    assert [stages_of(s) for s in strategies] == [[("c",), ("a",)], [("b",)]]


def test_milestones_name_who_was_last(federation: Federation) -> None:
    (strategy,) = incremental(federation, [["b", "a"]])
    state = strategy.init("initial", None)  # type: ignore[arg-type]
    seen = list(strategy.checkpoints(state))
    while instructions := strategy.plan(state):
        state = strategy.apply(state, [ClientUpdate(instructions[0], f"stage {state.round + 1}", 1)], "")
        seen += strategy.checkpoints(state)
    checkpoints = [(m.model, m.moment, m.index, m.final, m.last) for m in seen]
    assert checkpoints == [
        ("initial", "initial", 0, False, ""),
        ("stage 1", "stage", 1, False, "b"),
        ("stage 2", "stage", 2, True, "a"),
    ]


def test_a_pooled_stage_has_no_last(federation: Federation) -> None:
    (strategy,) = Centralized.variants(CentralizedSettings(), federation)
    state = strategy.init("initial", None)  # type: ignore[arg-type]
    state = strategy.apply(state, [ClientUpdate(strategy.plan(state)[0], "stage", 1)], "")
    assert [m.last for m in strategy.checkpoints(state)] == [""]


def test_a_fraction_is_of_every_stage(federation: Federation) -> None:
    settings = IncrementalSettings.model_validate({"orders": [["b", "a"]], "fraction": 0.25})
    (strategy,) = Incremental.variants(settings, federation)
    state = strategy.init("initial", None)  # type: ignore[arg-type]
    while instructions := strategy.plan(state):
        assert [a.fraction for a in instructions] == [0.25]
        state = strategy.apply(state, [ClientUpdate(instructions[0], "stage", 1)], "")


@pytest.mark.parametrize("strategy", [Single, Centralized, Incremental])
def test_epochs_and_dropout_of_a_stage(federation: Federation, strategy: Any) -> None:
    settings = strategy.Settings.model_validate({"epochs": 11, "dropout_epochs": 1})
    (instruction,) = strategy.variants(settings, federation)[0].plan(State("m"))
    assert (instruction.epochs, instruction.horizon_epochs, instruction.dropout_epochs) == (11, 11, 1)
    (usual,) = strategy.variants(strategy.Settings(), federation)[0].plan(State("m"))
    assert (usual.epochs, usual.dropout_epochs) == (federation.epochs, None)
