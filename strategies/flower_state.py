"""What a strategy of Flower's keeps from round to round; see `raysim.training.flower_values` for how it is written.

What is as the constructor made it is not written: the constructor makes it again. State on a class or in a module is
not seen.
"""

from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array
from flwr.serverapp.strategy import Strategy as FlowerStrategy

from raysim.training.flower_calls import Refused
from raysim.training.flower_values import GENERATORS, RECORDS, ValueWriter, restored, unwritable

_CONTAINERS = (list, tuple, dict, set, np.ndarray, np.generic, Array, *RECORDS.values())


class StateWriter(ValueWriter):
    """Writes the attributes of strategies."""

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
                    raise unwritable(value, f"attribute {place}{name}")
                if inner := self.attributes(value, before, f"{place}{name}."):
                    written[name] = ["Strategy", inner]
            elif name not in vars(made) or not _as_made(value, before):
                written[name] = self.value(value, f"attribute {place}{name}")
        return written


def restore_attributes(
    strategy: FlowerStrategy, written: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Gives a fresh `strategy` the attributes that `StateWriter.attributes` wrote; it gets copies of the arrays."""
    for name, value in written.items():
        if isinstance(value, list) and value[0] == "Strategy":
            restore_attributes(vars(strategy)[name], value[1], arrays)
        else:
            vars(strategy)[name] = restored(value, arrays)


def _as_made(value: Any, made: Any) -> bool:
    """Whether a constructor that made `made` has made `value` alike, so that nothing needs to be written."""
    if isinstance(value, (*_CONTAINERS, *GENERATORS)):
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
