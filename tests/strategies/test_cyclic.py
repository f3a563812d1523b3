import numpy as np
import pytest
from raysim.strategies.cyclic import Cyclic, CyclicSettings
from raysim.strategies.incremental import Incremental, IncrementalSettings
from raysim.strategies.sequential import SequentialStrategy

from raysim.simulation.strategy import ClientUpdate, Federation, TrainInstruction


def stages(strategy: SequentialStrategy) -> list[TrainInstruction]:
    state, found = strategy.init("start", np.empty(0, np.float32)), []
    while instructions := strategy.plan(state):
        found += instructions
        name = f"{state.model} {instructions[0].organizations[0]}"
        state = strategy.apply(state, [ClientUpdate(instructions[0], name, 1)], "")
    return found


def test_an_order_is_gone_through_several_times(federation: Federation) -> None:
    (strategy,) = Cyclic.variants(CyclicSettings.model_validate({"orders": [["b", "a"]], "passes": 3}), federation)
    assert [i.organizations for i in stages(strategy)] == [("b",), ("a",)] * 3
    assert strategy.order == "b > a > b > a > b > a"
    assert strategy.members == ("b", "a")


@pytest.mark.parametrize(("passes", "epochs", "expected"), [(2, None, 5), (3, None, 3), (20, None, 1), (3, 7, 7)])
def test_epochs_are_shared_out_over_the_passes(
    passes: int, epochs: int | None, expected: int, federation: Federation
) -> None:
    settings = CyclicSettings(passes=passes, epochs=epochs)
    assert {i.epochs for s in Cyclic.variants(settings, federation) for i in stages(s)} == {expected}
    assert bool(settings.cautions(10)) == (epochs is None and passes * expected != 10)


def test_the_first_pass_is_incremental_training(federation: Federation) -> None:
    once = Incremental.variants(IncrementalSettings(epochs=4), federation)
    again = Cyclic.variants(CyclicSettings(epochs=4, passes=2), federation)
    for one, other in zip(once, again, strict=True):
        assert stages(other)[:3] == stages(one)
