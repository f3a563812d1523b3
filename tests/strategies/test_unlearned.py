import numpy as np
import pytest
from raysim.strategies.centralized import Centralized, CentralizedSettings
from raysim.strategies.sequential import SequentialStrategy
from raysim.strategies.unlearned import Unlearned, UnlearnedSettings

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientUpdate, Federation, ModelCheckpoint, TrainInstruction
from raysim.training.objectives import ObjectiveConfig


def played(strategy: SequentialStrategy) -> tuple[list[TrainInstruction], list[ModelCheckpoint]]:
    state = strategy.init("start", np.empty(0, np.float32))
    stages, reached = list[TrainInstruction](), list(strategy.checkpoints(state))
    while instructions := strategy.plan(state):
        stages += instructions
        state = strategy.apply(state, [ClientUpdate(instructions[0], f"{state.model}.", 1)], "")
        reached += strategy.checkpoints(state)
    return stages, reached


def test_the_pool_then_a_climb_and_the_pool_without(federation: Federation) -> None:
    climbed, without = Unlearned.variants(UnlearnedSettings(organizations=["b"], steps=7, dropout_epochs=2), federation)
    stages, reached = played(climbed)
    assert [s.organizations for s in stages] == [("a", "b", "c"), ("b",)]
    climb = stages[1]
    assert (climb.epochs, climb.horizon_epochs, climb.epoch_steps) == (1, 1, 7)
    assert (climb.objective, climb.dropout_epochs) == (ObjectiveConfig("ascent"), None)
    assert [(m.index, m.final, m.last) for m in reached] == [(0, False, ""), (1, False, ""), (2, True, "b")]
    stages, reached = played(without)
    assert [s.organizations for s in stages] == [("a", "c")]
    assert [(m.index, m.final) for m in reached] == [(0, False), (1, True)]
    assert (climbed.order, without.order) == ("a + b + c > b", "a + c")


def test_its_pools_are_those_of_centralized(federation: Federation) -> None:
    pools = Centralized.variants(CentralizedSettings(leave_one_out=True), federation)
    found = [played(one)[0] for one in Unlearned.variants(UnlearnedSettings(), federation)]
    assert len(found) == 6
    first = [played(pool)[0] for pool in pools]
    assert [stages[:1] for stages in found[::2]] == [first[0]] * 3
    assert found[1::2] == first[1:]


def test_who_goes_takes_part_and_leaves_somebody(federation: Federation) -> None:
    with pytest.raises(InputError, match=r"organizations: 'd' takes no part; there are: a, b, c"):
        Unlearned.variants(UnlearnedSettings(organizations=["d"]), federation)
    alone = federation.without("a").without("b")
    with pytest.raises(InputError, match="needs two organizations or more"):
        Unlearned.variants(UnlearnedSettings(), alone)
