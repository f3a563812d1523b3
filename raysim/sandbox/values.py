"""Plain data between a program and its judge, as JSON: whoever reads it gets values of exactly the built-in types.

A subclass arrives as the type that it derives from, a NumPy scalar as Python's number; what is no plain data arrives as
a reference to an object of the sender's or the receiver's.
"""

import json
import math
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

_JSON_INT = 1 << 63
"""Larger integers travel as hexadecimal digits, whose number Python does not limit."""

_KINDS: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "tuple": (list, tuple),
    "set": (list, set),
    "frozenset": (list, frozenset),
    "dict": (list, lambda pairs: dict(map(_pair, pairs))),
    "int": (str, lambda digits: int(digits, 16)),
    "float": (str, float),
    "complex": (list, lambda parts: complex(*map(float, _pair(parts)))),
    "bytes": (str, bytes.fromhex),
    "bytearray": (str, bytearray.fromhex),
    "fraction": (list, lambda parts: Fraction(*parts)),
    "decimal": (str, Decimal),
}
"""What JSON has no form for, as an object of one name: the type of its content, and what that becomes."""

Refer = Callable[[Any], dict[str, int]]
Resolve = Callable[[str, int], Any]


def encode(value: Any, refer: Refer) -> Any:
    """What `json.dumps` takes for `value`.

    Args:
        value: of any type.
        refer: gives the object of one name and a number that stands for what is no plain data, or raises `TypeError`.
    """
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value) if -_JSON_INT < value < _JSON_INT else {"int": hex(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": float.__repr__(value)}
    if isinstance(value, list):
        return [encode(item, refer) for item in value]
    for name, like in (("tuple", tuple), ("set", set), ("frozenset", frozenset)):
        if isinstance(value, like):
            return {name: [encode(item, refer) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(name, refer), encode(item, refer)] for name, item in value.items()]}
    if isinstance(value, complex):
        return {"complex": [encode(value.real, refer), encode(value.imag, refer)]}
    for name, like in (("bytes", bytes), ("bytearray", bytearray)):
        if isinstance(value, like):
            return {name: value.hex()}
    if isinstance(value, Fraction):
        return {"fraction": [encode(value.numerator, refer), encode(value.denominator, refer)]}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    numpy = sys.modules.get("numpy")
    if numpy and isinstance(value, numpy.generic) and type(item := value.item()) is not kind:
        return encode(item, refer)
    return refer(value)


def decode(text: bytes, resolve: Resolve) -> Any:
    """The value that `encode` made `text` of; nothing else comes of any text.

    Args:
        text: JSON, whoever wrote it.
        resolve: gives the object that a name and a number refer to, or raises `LookupError`.

    Raises:
        ValueError: that is no such JSON.
    """

    def build(written: dict[str, Any]) -> Any:
        if len(written) != 1:
            raise ValueError("an object of other than one name")
        ((name, content),) = written.items()
        if name not in _KINDS:
            if type(content) is not int:
                raise ValueError("a reference that is no number")
            return resolve(name, content)
        expected, make = _KINDS[name]
        if type(content) is not expected:
            raise ValueError(f"{name} of another type")
        return make(content)

    try:
        return json.loads(text, object_hook=build, parse_constant=_refuse)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"no plain data: {error}") from None


def _pair(item: Any) -> list[Any]:
    if type(item) is not list or len(item) != 2:
        raise ValueError("no pair")
    return item


def _refuse(name: str) -> None:
    raise ValueError(f"{name} without its type")
