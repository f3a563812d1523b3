"""What a strategy keeps goes through JSON and arrays, and comes back as it was, to the type and the bit."""

import enum
import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_peers import Remembering
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
from raysim.strategies.flower_state import StateWriter, restore_attributes

from raysim.training.flower_calls import Refused

WEIGHTS = np.array([1.0, -0.0, 3.5], np.float32)


@pytest.mark.parametrize(
    "generator", [np.random.default_rng(1), random.Random(1), np.random.Philox(1)], ids=lambda one: type(one).__name__
)
def test_generators_are_refused_even_if_nothing_was_drawn(generator: Any) -> None:
    strategy, made = FedAvg(), FedAvg()
    strategy.generator = made.generator = generator  # type: ignore[attr-defined]
    with pytest.raises(Refused, match=r"attribute generator \(.*; draw from random or numpy.random"):
        StateWriter(WEIGHTS).attributes(strategy, made)


class Mode(enum.Enum):
    FAST = 1


def with_helpers() -> FedAvg:
    strategy = Remembering()
    helpers = {"mode": Mode.FAST, "place": Path("here"), "shift": lambda x: x + strategy.scale, "kind": FedAvg}
    vars(strategy).update(helpers)
    return strategy


def test_what_the_constructor_makes_again_is_not_written() -> None:
    strategy = with_helpers()
    assert StateWriter(WEIGHTS).attributes(strategy, with_helpers()) == {"history": ["list", []]}
    vars(strategy)["place"] = Path("there")
    with pytest.raises(Refused, match="attribute place "):
        StateWriter(WEIGHTS).attributes(strategy, with_helpers())


def test_attributes_that_changed_or_came_are_restored_into_what_is_wrapped() -> None:
    def make() -> DifferentialPrivacyServerSideFixedClipping:
        return DifferentialPrivacyServerSideFixedClipping(FedAvg(), 1.0, 2.0, 3)

    strategy = make()
    strategy.clipping_norm = 0.5
    strategy.strategy.moment = struct.pack  # type: ignore[attr-defined]
    with pytest.raises(Refused, match=r"attribute strategy.moment "):
        StateWriter(WEIGHTS).attributes(strategy, make())
    strategy.strategy.moment = [WEIGHTS * 2]  # type: ignore[attr-defined]
    strategy.current_arrays = ArrayRecord({"weights": Array(WEIGHTS)})
    writer = StateWriter(WEIGHTS)
    written, again = writer.attributes(strategy, make()), make()
    restore_attributes(again, json.loads(json.dumps(written)), {"weights": WEIGHTS, **writer.arrays})
    assert again.clipping_norm == 0.5
    assert again.strategy.moment[0].tolist() == [2.0, 0.0, 7.0]  # type: ignore[attr-defined]
    assert again.current_arrays["weights"].numpy().tolist() == [1.0, 0.0, 3.5]


def test_a_deleted_attribute_is_refused() -> None:
    strategy = FedAvg()
    del strategy.weighted_by_key
    with pytest.raises(Refused, match="attribute weighted_by_key was deleted"):
        StateWriter(WEIGHTS).attributes(strategy, FedAvg())
