"""What a strategy of Flower's keeps from round to round, as JSON values and plain arrays; never a pickle.

Numbers, texts, lists, tuples, dicts, NumPy's arrays and numbers and Flower's records are written with their exact
types, since those decide how NumPy rounds. What is as the constructor made it is not written: the constructor makes it
again. State on a class or in a module is not seen.
"""

import math
import random
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy import Strategy as FlowerStrategy
from raysim.strategies.flower_calls import Refused

from raysim.training.weights import Flat

WEIGHTS = "weights"
"""Names the server's model in a state; what a strategy keeps of equal bits is not written twice."""

_RECORDS = {record.__name__: record for record in (ArrayRecord, ConfigRecord, MetricRecord)}
_CONTAINERS = (list, tuple, dict, set, np.ndarray, np.generic, Array, *_RECORDS.values())
_GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)


class StateWriter:
    """Turns objects into JSON values; the arrays in them go to `arrays`.

    Args:
        weights: of the server's model, after the round.

    Attributes:
        arrays: by the name that stands for each in the JSON.
    """

    def __init__(self, weights: Flat) -> None:
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self._weights = weights

    def attributes(self, strategy: FlowerStrategy, made: FlowerStrategy, place: str = "") -> dict[str, Any]:
        """The attributes of `strategy` that are not as in `made`, its like fresh from the constructor.

        Raises:
            Refused: one that cannot be written; names it.
        """
        if gone := vars(made).keys() - vars(strategy).keys():
            raise Refused(f"its attribute {place}{min(gone)} was deleted, which raysim cannot keep from round to round")
        written = {}
        for name, value in vars(strategy).items():
            before = vars(made).get(name)
            if isinstance(value, FlowerStrategy) and isinstance(before, type(value)):
                if type(value) is not type(before):
                    raise _unwritable(value, place + name)
                if inner := self.attributes(value, before, f"{place}{name}."):
                    written[name] = ["Strategy", inner]
            elif name not in vars(made) or not _as_made(value, before):
                written[name] = self.value(value, place + name)
        return written

    def value(self, value: Any, place: str) -> Any:
        """A JSON value for `value`, which is at `place`."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else ["float", repr(value)]
        if kind in (list, tuple):
            return [kind.__name__, [self.value(one, f"{place}[{i}]") for i, one in enumerate(value)]]
        if kind is dict or kind in _RECORDS.values():
            pairs = [[self.value(key, place), self.value(one, f"{place}[{key!r}]")] for key, one in value.items()]
            return [kind.__name__, pairs]
        if kind is Array:
            return ["Array", self._array(value.numpy(), place)]
        if kind is np.ndarray:
            return ["ndarray", self._array(value, place)]
        if isinstance(value, np.generic):
            return ["generic", self._array(np.asarray(value), place)]
        raise _unwritable(value, place)

    def _array(self, array: npt.NDArray[Any], place: str) -> Any:
        if array.dtype.kind not in "biufc":
            raise _unwritable(array, f"{place} of {array.dtype}")
        if array.ndim == 0 or array.size == 0:  # of which no file can be mapped
            return [array.dtype.str, list(array.shape), array.tobytes().hex()]
        if _same_bits(array, self._weights):
            return WEIGHTS
        name = f"flower_{len(self.arrays)}"
        self.arrays[name] = array
        return name


def restore_attributes(
    strategy: FlowerStrategy, written: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Gives a fresh `strategy` the attributes that `StateWriter.attributes` wrote; it gets copies of the arrays."""
    for name, value in written.items():
        if isinstance(value, list) and value[0] == "Strategy":
            restore_attributes(vars(strategy)[name], value[1], arrays)
        else:
            vars(strategy)[name] = restored(value, arrays)


def restored(written: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The object that `StateWriter.value` wrote."""
    if not isinstance(written, list):
        return written
    kind, content = written
    match kind:
        case "float":
            return float(content)
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
    return pairs if kind == "dict" else _RECORDS[kind](pairs)


def _read(written: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if isinstance(written, str):
        return np.array(arrays[written])
    dtype, shape, content = written
    return np.frombuffer(bytes.fromhex(content), dtype).reshape(shape).copy()


def _same_bits(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return np.array_equal(np.ascontiguousarray(one).view(np.uint8), np.ascontiguousarray(other).view(np.uint8))


def _as_made(value: Any, made: Any) -> bool:
    """Whether a constructor that made `made` has made `value` alike, so that nothing needs to be written."""
    if isinstance(value, (*_CONTAINERS, *_GENERATORS)):
        return False
    if value is made:
        return True
    if type(value) is not type(made):
        return False
    if isinstance(value, FunctionType):
        return value.__code__ == made.__code__
    if isinstance(value, MethodType):
        return value.__func__ is made.__func__
    return type(value).__eq__ is not object.__eq__ and bool(value == made)


def _unwritable(value: Any, place: str) -> Refused:
    advice = (
        "draw from random or numpy.random, which raysim seeds before each call"
        if isinstance(value, _GENERATORS)
        else "keep numbers, texts, arrays, and lists or dicts of them"
    )
    return Refused(
        f"its attribute {place} ({type(value).__name__}) cannot be written into the store, so that a run could not"
        f" resume; {advice}"
    )
