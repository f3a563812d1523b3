"""What a strategy keeps goes through JSON and arrays, and comes back as it was, to the type and the bit."""

import enum
import json
import math
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_peers import Remembering
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
from raysim.strategies.flower_calls import Refused
from raysim.strategies.flower_state import StateWriter, restore_attributes, restored

WEIGHTS = np.array([1.0, -0.0, 3.5], np.float32)


def there_and_back(value: Any) -> Any:
    writer = StateWriter(WEIGHTS)
    written = json.loads(json.dumps(writer.value(value, "it"), allow_nan=False))
    return restored(written, {"weights": WEIGHTS, **writer.arrays})


SCALARS = [None, True, False, 0, -(2**80), "", 'a"b', 0.1, -0.0, 5e-324, math.inf, -math.inf]


@pytest.mark.parametrize("value", [*SCALARS, [], (), {}, [1, (2, [True])], {"a": {1: None}, (1, "b"): 2.5}], ids=repr)
def test_plain_values_keep_their_types(value: Any) -> None:
    back = there_and_back(value)
    assert back == value
    assert repr(back) == repr(value)


def test_not_a_number_comes_back() -> None:
    assert math.isnan(there_and_back([math.nan])[0])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i8", "u2", "?", "c8", ">f4"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (3,), (2, 3)])
def test_arrays_and_numbers_of_numpy_keep_type_shape_and_bits(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    given = [array, array[()]]  # the second is a number of NumPy's, where there are no axes
    back = there_and_back(given)
    for one, other in zip(back, given, strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, shape, other.tobytes())
        assert type(one) is type(other)
    assert back[0].flags.writeable


@pytest.mark.parametrize("record", [ArrayRecord, ConfigRecord, MetricRecord])
def test_records_of_flower(record: type) -> None:
    content = {
        ArrayRecord: {"b": Array(WEIGHTS), "a": Array(np.array([[1, 2]]))},
        ConfigRecord: {"b": "text", "a": [1.5, 2.5], "c": True},
        MetricRecord: {"b": 1, "a": 0.5},
    }[record]
    for whole in (record(content), record()):
        back = there_and_back(whole)
        assert type(back) is record
        assert list(back.items()) == list(whole.items())


def test_what_has_the_bits_of_the_model_is_not_kept_twice() -> None:
    writer = StateWriter(WEIGHTS)
    equal, zero = WEIGHTS.copy(), np.array([1.0, 0.0, 3.5], np.float32)
    written = writer.value([equal, WEIGHTS.astype(np.float64), WEIGHTS[None], zero], "it")
    names = [content for _, content in written[1]]
    assert names == ["weights", "flower_0", "flower_1", "flower_2"]
    assert list(writer.arrays) == names[1:]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (object(), r"it \(object\)"),
        ({"a": [1, {2}]}, r"it\['a'\]\[1\] \(set\)"),
        (b"bytes", r"it \(bytes\)"),
        (np.array(["text"]), r"it of <U4 \(ndarray\)"),
        (np.array([None]), r"it of object \(ndarray\)"),
        ([lambda: 1], r"it\[0\] \(function\)"),
        (FedAvg(), r"it \(FedAvg\)"),
    ],
)
def test_other_objects_are_refused_by_their_place(value: Any, place: str) -> None:
    with pytest.raises(Refused, match=rf"its attribute {place} cannot be written into the store.*; keep numbers"):
        there_and_back(value)


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
