"""Values go through JSON and arrays, and come back as they were, to the type and the bit."""

import json
import math
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy import FedAvg

from raysim.training.flower_calls import Refused
from raysim.training.flower_values import ValueWriter, restored

WEIGHTS = np.array([1.0, -0.0, 3.5], np.float32)


def there_and_back(value: Any) -> Any:
    writer = ValueWriter(WEIGHTS)
    written = json.loads(json.dumps(writer.value(value, "it"), allow_nan=False))
    return restored(written, {"weights": WEIGHTS, **writer.arrays})


SCALARS = [b"", b"\x00a", None, True, False, 0, -(2**80), "", 'a"b', 0.1, -0.0, 5e-324, math.inf, -math.inf]


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
    writer = ValueWriter(WEIGHTS)
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
        (np.array(["text"]), r"it of <U4 \(ndarray\)"),
        (np.array([None]), r"it of object \(ndarray\)"),
        ([lambda: 1], r"it\[0\] \(function\)"),
        (FedAvg(), r"it \(FedAvg\)"),
    ],
)
def test_other_objects_are_refused_by_their_place(value: Any, place: str) -> None:
    with pytest.raises(Refused, match=rf"its {place} cannot be written into the store.*; keep numbers"):
        there_and_back(value)
