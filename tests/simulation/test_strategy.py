from typing import ClassVar

import numpy as np
import pydantic

from raysim.simulation.strategy import ClientInfo, Federation, State, StrategySettings


class ShuffledSettings(StrategySettings):
    CHOOSE_VARIANTS: ClassVar[frozenset[str]] = frozenset({"orders"})

    rate: float = 0.1
    orders: list[str] = pydantic.Field(default=[])


def test_settings_of_an_arm_leave_out_the_label_and_the_choice_of_variants() -> None:
    assert ShuffledSettings(label="a", orders=["b"], rate=0.2).of_arm() == {"rate": 0.2}
    assert ShuffledSettings().of_arm() == {"rate": 0.1}


def test_a_federation_without_one_keeps_the_order_of_the_others() -> None:
    federation = Federation(tuple(ClientInfo(name, 1, 64, 1.0, 0.0) for name in "abc"), 4, "keep")
    assert federation.without("b").names == ("a", "c")
    assert (federation.without("b").epochs, federation.without("b").client_state) == (4, "keep")


def test_the_control_of_a_state_is_all_but_its_tensors() -> None:
    state = State("m", 2, {"a": "k"}, {"weights": np.ones(3, np.float32)})
    assert state.control() == {"model": "m", "round": 2, "client_states": {"a": "k"}}
    assert State(**state.control()).with_tensors(state.tensors) == state
