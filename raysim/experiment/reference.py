"""Every setting of an experiment, with type, default and meaning, from the settings classes themselves.

`raysim settings` prints it, and docs/configuration.md is written from it.
"""

import difflib
import json
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pydantic
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from raysim.core.errors import InputError
from raysim.core.settings import Settings
from raysim.experiment.config import Experiment
from raysim.measures.registry import GROUP as MEASURES
from raysim.mitigations.registry import GROUP as MITIGATIONS
from raysim.simulation.registry import GROUP as STRATEGIES

_PREFIXES = {STRATEGIES: "strategies", MEASURES: "measure", MITIGATIONS: "mitigations"}
"""Under which section of an experiment the settings of what a group brings are."""

_NAMES = {
    **{str: "text", int: "integer", float: "number", bool: "`true` or `false`", type(None): "null"},
    **{Any: "any YAML", pydantic.JsonValue: "any JSON"},
}
_PARSED = {"_parse_size": "size", "_parse_share": "share"}
"""What a validator that reads text makes of it."""


@dataclass(frozen=True)
class Setting:
    """One setting, as people read of it.

    Attributes:
        path: as for ``--set``; ``NAME`` stands for a key, ``[]`` for an item.
        type: what may be written, with its bounds.
        default: as YAML or JSON in backquotes, ``*required*`` or ``*unset*``.
        meaning: in a few words.
        groups: paths of the groups of settings that it holds.
    """

    path: str
    type: str
    default: str
    meaning: str
    groups: tuple[str, ...] = ()

    def plain(self) -> dict[str, str]:
        """Without Markdown, for a terminal and for programs."""
        cells = {"setting": self.path, "type": self.type, "default": self.default, "meaning": self.meaning}
        return {name: cell.replace("`", "").strip("*") for name, cell in cells.items()}


@dataclass(frozen=True)
class SettingsGroup:
    """A group of settings: its path, their class, and what it is about."""

    path: str
    owner: type[Settings]
    about: str

    def settings(self) -> Iterator[Setting]:
        """The settings of the group, without those of groups within."""
        for name, field in self.owner.model_fields.items():
            path = f"{self.path}.{name}".lstrip(".")
            kind = _type_text(field.annotation, field.metadata) + _limits(field.metadata)
            inner = tuple(inner for inner, _ in _groups(path, field.annotation))
            yield Setting(path, kind, _default_text(field), _meaning(field), inner)


def settings_groups(points: Iterable[EntryPoint] | None = None) -> list[SettingsGroup]:
    """All groups of settings, outer ones first, each path once.

    Args:
        points: strategies, measures and mitigations; None: all that are installed.

    Raises:
        InputError: one of them cannot be loaded.
    """
    if points is None:
        points = [point for group in _PREFIXES for point in entry_points(group=group)]
    found = {group.path: group for group in _below("", Experiment)}
    for point in sorted(points, key=lambda point: (list(_PREFIXES).index(point.group), point.name)):
        try:
            owner = getattr(point.load(), "Settings", None)
        except Exception as error:  # whatever an installed package raises when it is imported
            raise InputError(f"{point.name!r} ({point.value}) cannot be loaded: {error}") from error
        if isinstance(owner, type) and issubclass(owner, Settings):
            for group in _below(f"{_PREFIXES[point.group]}.{point.name}", owner):
                found.setdefault(group.path, group)
    return list(found.values())


def find_settings(key: str | None) -> list[Setting]:
    """The settings at and below the path `key`, else those of that name; None: all.

    Raises:
        InputError: there is none.
    """
    everything = [setting for group in settings_groups() for setting in group.settings()]
    if key is None:
        return everything
    parts = key.strip(".").split(".")
    found = [setting for setting in everything if _leads_to(parts, setting.path.replace("[]", "").split("."))]
    found = found or [setting for setting in everything if setting.path.rpartition(".")[2] == key]
    if not found:
        names = [setting.path for setting in everything]
        names += [name.rpartition(".")[2] for name in names]
        near = list(dict.fromkeys(difflib.get_close_matches(key, names, n=3)))
        advice = f"did you mean {' or '.join(near)}?" if near else "`raysim settings` lists all of them"
        raise InputError(f"settings {key}: no such setting; {advice}")
    return found


def _leads_to(parts: Sequence[str], path: Sequence[str]) -> bool:
    """Whether `path` is at or below `parts`, where a name of one's own stands for ``NAME``."""
    pairs = zip(parts, path, strict=False)
    return len(parts) <= len(path) and all(given == part or part == "NAME" for given, part in pairs)


def _below(path: str, owner: type[Settings]) -> Iterator[SettingsGroup]:
    yield SettingsGroup(path, owner, (owner.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " "))
    for name, field in owner.model_fields.items():
        for inner_path, inner in _groups(f"{path}.{name}".lstrip("."), field.annotation):
            yield from _below(inner_path, inner)


def _groups(path: str, annotation: Any) -> Iterator[tuple[str, type[Settings]]]:
    """The settings classes that a type names, and their paths: ``NAME`` stands for a key, ``[]`` for an item."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield path, annotation
        return
    suffix = {dict: ".NAME", list: "[]", tuple: "[]"}.get(typing.get_origin(annotation) or type(None), "")
    for argument in typing.get_args(annotation):
        yield from _groups(path + suffix, argument)


def _type_text(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A type as a reader of YAML knows it."""
    for item in metadata:
        name = getattr(getattr(item, "func", None), "__name__", "")
        if name in _PARSED:
            return _PARSED[name]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(arguments[0], arguments[1:]) + _limits(arguments[1:])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_text(argument) for argument in arguments if argument is not type(None))
    if origin is dict:
        return f"mapping of name to {_type_text(arguments[1])}"
    if origin is tuple and Ellipsis not in arguments:
        return "list of " + ", ".join(map(_type_text, arguments))
    if origin in (list, tuple):
        return f"list of {_type_text(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "settings"
    if annotation in _NAMES:
        return _NAMES[annotation]
    return getattr(annotation, "__name__", str(annotation))


def _limits(metadata: Sequence[Any]) -> str:
    """What bounds a value, as text behind its type."""
    found = []
    for item in metadata:
        match item:
            case FieldInfo():
                found.append(_limits(item.metadata).strip(" ,"))
            case Ge(ge):
                found.append(f"at least {ge}")
            case Gt(gt):
                found.append(f"above {gt}")
            case Le(le):
                found.append(f"at most {le}")
            case Lt(lt):
                found.append(f"below {lt}")
            case MinLen(1):
                found.append("not empty")
            case MinLen(least):
                found.append(f"at least {least} of them")
            case MaxLen(most):
                found.append(f"at most {most} of them")
    return "".join(f", {text}" for text in found if text)


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "*unset*"
    if isinstance(value, Settings):
        given = value.model_dump(mode="json", exclude_defaults=True)
        return f"`{json.dumps(given)}`" if given else "its defaults"
    if isinstance(value, str):
        return f"`{value}`"
    plain = pydantic.TypeAdapter(type(value)).dump_python(value, mode="json")
    return f"`{json.dumps(plain)}`"


def _meaning(field: FieldInfo) -> str:
    """The description; of a group without one, the first sentence about its class."""
    if field.description:
        return field.description
    for _, owner in _groups("", field.annotation):
        first = (owner.__doc__ or "").strip().split("\n")[0].rstrip(".")
        return first[:1].lower() + first[1:]
    return ""
