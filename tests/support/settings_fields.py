"""Fields of settings, found by introspection, and other values for them; of strategies, all that are installed."""

import typing
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from raysim.strategies.availability import AvailabilitySettings, PolicySettings
from raysim.strategies.continual import ConsolidationSettings

from raysim.core.settings import Settings
from raysim.simulation.registry import GROUP
from raysim.training.compression import CompressionSettings, Int8, TopK
from raysim.training.masking import SecureAggregationSettings


def settings_in(annotation: Any) -> list[type[Settings]]:
    """The settings classes that a type names."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for argument in typing.get_args(annotation) for found in settings_in(argument)]


def has_tuples(annotation: Any) -> bool:
    """Whether a type is a tuple, or one among others, of which no path leads to an item."""
    return typing.get_origin(annotation) is tuple or any(map(has_tuples, typing.get_args(annotation)))


def fields(owner: type[Settings], prefix: str = "") -> Iterator[tuple[str, type[Settings]]]:
    """The path of every field below `owner` that is no settings itself, and whose field it is."""
    for name, field in owner.model_fields.items():
        if (inner := settings_in(field.annotation)) and not has_tuples(field.annotation):
            key = {dict: "a.", list: "0."}.get(typing.get_origin(field.annotation), "")  # one stands for all
            yield from fields(inner[0], f"{prefix}{name}.{key}")
        else:
            yield f"{prefix}{name}", owner


def others(owner: type[Settings], name: str, value: Any) -> list[Any]:
    """Other values of a field, by its type and its present value: those that change little come first."""
    annotation = owner.model_fields[name].annotation
    literals = [c for a in (annotation, *typing.get_args(annotation)) if typing.get_origin(a) is typing.Literal
                for c in typing.get_args(a)]  # fmt: skip
    if literals:
        return [choice for choice in literals if choice != value]
    if value is None:
        usual: dict[type, Any] = {int: 10, float: 0.5, str: "x"}
        inner = [a if isinstance(a, type) else typing.get_args(a)[0] for a in typing.get_args(annotation)]
        return [found for a in inner if a in usual for found in (usual[a], *others_of(usual[a]))]
    return others_of(value)


def others_of(value: Any) -> list[Any]:
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value * 2, value * 1000, value // 2, 1, 0]
        case float():
            return [value / 2, value * 2, (value + 1) / 2, 0.0]
        case str():
            return [f"{value}x"]
        case list() | tuple():
            return [[*value[:-1], other] for other in others_of(value[-1])]
        case dict():
            return [{**value, name: other} for name in value for other in others_of(value[name])]
    raise TypeError(f"what would be another {value!r}?")


STRATEGIES: dict[str, Any] = {point.name: point.load() for point in entry_points(group=GROUP)}

ORDERS: dict[type[Settings], dict[str, tuple[Any, Any]]] = {
    STRATEGIES["incremental"].Settings.model_fields["orders"].annotation: {
        "all": ({"all": True}, {"by": "size"}),
        "listed": ({"listed": [["a", "b"]]}, {"listed": [["b", "a"]]}),
        "sample": ({"sample": 1}, {"sample": 2}),
        "seed": ({"sample": 1, "seed": 1}, {"sample": 1, "seed": 5}),
        "design": ({"sample": 4, "seed": 1}, {"sample": 4, "seed": 1, "design": "latin"}),
        "by": ({"by": "size"}, {"by": "duplicates"}),
        "descending": ({"by": "size"}, {"by": "size", "descending": True}),
    }
}
"""For each setting of orders two values that ask for other orders."""

CONSOLIDATION: dict[type[Settings], dict[str, tuple[Any, Any]]] = {
    ConsolidationSettings: {
        "strength": ({"strength": 1}, {"strength": 2}),
        "samples": ({"samples": 1}, {"samples": 2}),
    }
}
"""For each setting of elastic weight consolidation two values that train other models."""

UPLOADS: dict[type[Settings], dict[str, tuple[Any, Any]]] = {
    CompressionSettings: {
        "top_k": ({}, {"compression": {"top_k": {}}}),
        "int8": ({}, {"compression": {"int8": {}}}),
    },
    TopK: {
        "share": ({"compression": {"top_k": {}}}, {"compression": {"top_k": {"share": "2 %"}}}),
        "error_feedback": ({"compression": {"top_k": {}}}, {"compression": {"top_k": {"error_feedback": False}}}),
    },
    Int8: {
        "error_feedback": ({"compression": {"int8": {}}}, {"compression": {"int8": {"error_feedback": True}}}),
        "rounding": ({"compression": {"int8": {}}}, {"compression": {"int8": {"rounding": "nearest"}}}),
        "block": ({"compression": {"int8": {}}}, {"compression": {"int8": {"block": 64}}}),
    },
    SecureAggregationSettings: {
        "threshold": ({"secure_aggregation": {}}, {"secure_aggregation": {"threshold": 2}}),
        "bits": ({"secure_aggregation": {}}, {"secure_aggregation": {"bits": 16}}),
        "clip": ({"secure_aggregation": {}}, {"secure_aggregation": {"clip": 0.5}}),
    },
}
"""For each setting of what clients send two settings of averaging that ask for other uploads, of four clients."""

_UNEQUAL = {"deadline_s": 12, "round_spread": 0.5}
AVAILABILITY: dict[type[Settings], dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    AvailabilitySettings: {
        "dropout": ({"dropout": 0.5}, {"dropout": {"a": 0.5}}),
        "seconds_per_1k_tokens": (_UNEQUAL, {**_UNEQUAL, "seconds_per_1k_tokens": 0.5}),
        "organization_spread": (_UNEQUAL, {**_UNEQUAL, "organization_spread": 2}),
        "round_spread": ({"deadline_s": 16, "round_spread": 0.1}, {"deadline_s": 16, "round_spread": 2}),
        "transfer_s": (_UNEQUAL, {**_UNEQUAL, "transfer_s": 4}),
        "deadline_s": (_UNEQUAL, {**_UNEQUAL, "deadline_s": 8}),
        "policy": (_UNEQUAL, {**_UNEQUAL, "policy": "wait"}),
    },
    PolicySettings: {
        "kind": ({**_UNEQUAL, "policy": "wait"}, {**_UNEQUAL, "policy": "stop"}),
        "proceed_with": (_UNEQUAL, {**_UNEQUAL, "policy": {"proceed_with": 2}}),
        "attempts": ({"dropout": 0.9, "policy": {"attempts": 1}}, {"dropout": 0.9, "policy": {"attempts": 30}}),
    },
}
"""For each setting of availability two values that have other organizations take part."""
