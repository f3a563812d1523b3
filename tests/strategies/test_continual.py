"""What stages of one organization after the other are told of those before."""

from typing import Any

import numpy as np
import pytest
from raysim.strategies.continual import ContinualStrategy
from raysim.strategies.cyclic import Cyclic, CyclicSettings
from raysim.strategies.incremental import Incremental, IncrementalSettings

from raysim.simulation.strategy import ClientUpdate, Federation, Importance, Replay, TrainInstruction
from raysim.training.objectives import ObjectiveConfig


def stages(strategy: ContinualStrategy) -> list[TrainInstruction]:
    state, found = strategy.init("start", np.empty(0, np.float32)), []
    while instructions := strategy.plan(state):
        found += instructions
        name = f"{state.model} {instructions[0].organizations[0]}"
        state = strategy.apply(state, [ClientUpdate(instructions[0], name, 1)], "")
    return found


def incremental(federation: Federation, **settings: Any) -> list[TrainInstruction]:
    chosen = IncrementalSettings.model_validate({"orders": [["b", "c", "a"]], **settings})
    (strategy,) = Incremental.variants(chosen, federation)
    return stages(strategy)


def test_each_stage_holds_what_mattered_to_everyone_before(federation: Federation) -> None:
    first, second, third = incremental(federation, ewc={"strength": 7, "samples": 3})
    assert (first.objective, first.importances) == (None, ())
    assert second.objective == third.objective == ObjectiveConfig("ewc", {"strength": 7})
    # b has two sequences, fewer than are asked for.
    assert second.importances == (Importance("b", "start b", 2),)
    assert third.importances == (Importance("b", "start b", 2), Importance("c", "start b c", 3))
    assert first.replay is second.replay is third.replay is None


def test_of_a_fraction_no_other_sequence_counts(federation: Federation) -> None:
    *_, third = incremental(federation, ewc={}, fraction=0.5)
    assert [one.sequences for one in third.importances] == [1, 3]


def test_each_stage_replays_everyone_before(federation: Federation) -> None:
    found = incremental(federation, replay=0.25)
    assert [one.replay for one in found] == [None, Replay(("b",), 0.25), Replay(("b", "c"), 0.25)]
    assert [one.importances for one in found] == [()] * 3


@pytest.mark.parametrize("settings", [{"ewc": {}}, {"replay": 0.5}, {"ewc": {}, "replay": 0.5}])
def test_the_first_stage_is_as_without(federation: Federation, settings: dict[str, Any]) -> None:
    plain, other = incremental(federation), incremental(federation, **settings)
    assert plain[0] == other[0]
    assert all(one not in plain for one in other[1:])


def test_in_a_second_pass_the_latest_stage_of_each_counts(federation: Federation) -> None:
    settings = CyclicSettings.model_validate({"orders": [["a", "b"]], "passes": 2, "ewc": {}, "replay": 1})
    (strategy,) = Cyclic.variants(settings, federation)
    *_, third, fourth = stages(strategy)
    assert [(one.organization, one.model) for one in third.importances] == [("a", "start a"), ("b", "start a b")]
    assert [(one.organization, one.model) for one in fourth.importances] == [("b", "start a b"), ("a", "start a b a")]
    assert (third.replay, fourth.replay) == (Replay(("b",), 1), Replay(("a",), 1))


def test_unset_an_arm_is_what_it_was() -> None:
    assert {"ewc", "replay"}.isdisjoint(IncrementalSettings().of_arm())
    assert IncrementalSettings(replay=0.1).of_arm() != IncrementalSettings().of_arm()
