"""Objects of Flower's as JSON values and plain arrays, never a pickle: what its classes and apps keep between rounds.

Numbers, texts, bytes, lists, tuples, dicts, NumPy's arrays and numbers and Flower's records are written with their
exact types, since those decide how NumPy rounds.
"""

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord

from raysim.training.flower_calls import Refused
from raysim.training.weights import Flat

WEIGHTS = "weights"
"""Names the server's model in a state; what is kept of equal bits is not written twice."""

RECORDS = {record.__name__: record for record in (ArrayRecord, ConfigRecord, MetricRecord)}
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)


class ValueWriter:
    """Turns objects into JSON values; the arrays in them go to `arrays`.

    Args:
        weights: that are kept anyway.

    Attributes:
        arrays: by the name that stands for each in the JSON.
    """

    def __init__(self, weights: Flat) -> None:
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self._weights = weights

    def value(self, value: Any, place: str) -> Any:
        """A JSON value for `value`, which is at `place`."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else ["float", repr(value)]
        if kind is bytes:
            return ["bytes", value.hex()]
        if kind in (list, tuple):
            return [kind.__name__, [self.value(one, f"{place}[{i}]") for i, one in enumerate(value)]]
        if kind is dict or kind in RECORDS.values():
            pairs = [[self.value(key, place), self.value(one, f"{place}[{key!r}]")] for key, one in value.items()]
            return [kind.__name__, pairs]
        if kind is Array:
            return ["Array", self._array(value.numpy(), place)]
        if kind is np.ndarray:
            return ["ndarray", self._array(value, place)]
        if isinstance(value, np.generic):
            return ["generic", self._array(np.asarray(value), place)]
        raise unwritable(value, place)

    def _array(self, array: npt.NDArray[Any], place: str) -> Any:
        if array.dtype.kind not in "biufc":
            raise unwritable(array, f"{place} of {array.dtype}")
        if array.ndim == 0 or array.size == 0:  # of which no file can be mapped
            return [array.dtype.str, list(array.shape), array.tobytes().hex()]
        if _same_bits(array, self._weights):
            return WEIGHTS
        name = f"flower_{len(self.arrays)}"
        self.arrays[name] = array
        return name


def restored(written: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The object that `StateWriter.value` wrote."""
    if not isinstance(written, list):
        return written
    kind, content = written
    match kind:
        case "float":
            return float(content)
        case "bytes":
            return bytes.fromhex(content)
        case "list":
            return [restored(one, arrays) for one in content]
        case "tuple":
            return tuple(restored(one, arrays) for one in content)
        case "Array":
            return Array(_read(content, arrays))
        case "ndarray":
            return _read(content, arrays)
        case "generic":
            return _read(content, arrays)[()]
    pairs = {restored(key, arrays): restored(one, arrays) for key, one in content}
    return pairs if kind == "dict" else RECORDS[kind](pairs)


def _read(written: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if isinstance(written, str):
        return np.array(arrays[written])
    dtype, shape, content = written
    return np.frombuffer(bytes.fromhex(content), dtype).reshape(shape).copy()


def _same_bits(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return np.array_equal(np.ascontiguousarray(one).view(np.uint8), np.ascontiguousarray(other).view(np.uint8))


def unwritable(value: Any, place: str) -> Refused:
    """The refusal of `value`, which is at `place`."""
    advice = (
        "draw from random or numpy.random, which raysim seeds before each call"
        if isinstance(value, GENERATORS)
        else "keep numbers, texts, arrays, and lists or dicts of them"
    )
    return Refused(
        f"its {place} ({type(value).__name__}) cannot be written into the store, so that a run could not"
        f" resume; {advice}"
    )
