"""Base of all settings, sizes and shares, overrides, and the messages of validation.

Each component owns its settings class and derives it from `Settings`.
"""

import re
from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, ClassVar, TypeVar

import pydantic
from pydantic_core import CoreSchema

from raysim.core.errors import InputError
from raysim.core.yaml_files import parse_yaml, short

_MOST_PROBLEMS = 20
"""That are told of at once."""

_SHOWN = 200
"""Characters of an override in an error."""


class Settings(pydantic.BaseModel):
    """Base of all settings: frozen, strict about unknown keys, documented by field; no number is infinite or NaN."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    short_forms: ClassVar[Sequence[dict[str, Any]]] = ()
    """JSON schemas of what may be written in place of the mapping; a validator turns it into one."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        if cls.short_forms:
            definition = handler.resolve_ref_schema(schema)
            mapping = dict(definition)
            definition.clear()
            definition["anyOf"] = [*cls.short_forms, mapping]
        return schema


S = TypeVar("S", bound=Settings)

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgKMG]?[bB])?\s*$")
_FACTORS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def _parse_size(value: Any) -> Any:
    if isinstance(value, str):
        match = _SIZE.match(value)
        if not match:
            raise ValueError(f"{value!r} is no size; write for example 40 KB, 1.5 MB or 2 GB")
        return int(float(match[1]) * _FACTORS[(match[2] or "b").lower()])
    return value


Size = Annotated[
    int,
    pydantic.BeforeValidator(_parse_size),
    pydantic.Field(gt=0),
    pydantic.WithJsonSchema(
        {"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string", "pattern": _SIZE.pattern}]}
    ),
]
"""A number of bytes, written as an integer or as ``40 KB`` (1 KB = 1000 bytes)."""


def _parse_share(value: Any) -> Any:
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip().removesuffix("%")) / 100
    return value


Share = Annotated[
    float,
    pydantic.BeforeValidator(_parse_share),
    pydantic.Field(gt=0, le=1),
    pydantic.WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"},
            ]
        }
    ),
]
"""A part of a whole, written as ``0.2`` or as ``20 %``."""


def _only_json(value: Any, path: str = "") -> Any:
    """Raises a `ValueError` at what has no JSON: a date, a number that is not finite, a key that is no text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise ValueError(f"{path}the key {short(name)} is no text; quote it")
            _only_json(inner, f"{path}{name}: ")
    elif isinstance(value, list):
        for inner in value:
            _only_json(inner, path)
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))):
        raise ValueError(f"{path}{short(value)} is neither text nor a finite number; quote a text")
    return value


OnlyJson = pydantic.AfterValidator(_only_json)
"""For fields that take any settings of others: they are going to be in recipes and manifests, which are JSON."""


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Applies ``a.b=c`` assignments (``c`` is YAML) to a copy of `raw`.

    A path runs through mappings, and through the list ``strategies`` by an entry's label, or by its name:
    ``strategies.fedyogi.eta=0.03``.

    Raises:
        InputError: no ``=``, a path that runs through something else, or a strategy that is not there.
    """
    result = _copy(raw)
    for override in overrides:
        path, separator, text = override.partition("=")
        shown = override if len(override) <= _SHOWN else f"{override[:_SHOWN]}..."
        origin = f"--set {' '.join(shown.split())}"
        if not separator or not path.strip():
            raise InputError(f"{origin}: expected name=value, for example --set trainer.epochs=5")
        _assign(result, path.strip().split("."), parse_yaml(text, origin), origin)
    return result


def _assign(settings: dict[str, Any], path: list[str], value: Any, origin: str) -> None:
    """Sets what `path` leads to, making the mappings on the way."""
    *parents, leaf = path
    node: Any = settings
    for depth, name in enumerate(parents):
        if isinstance(node, list):
            node, name = _strategy_entry(node, name, origin)
        if node.get(name) is None:
            node[name] = {}
        node = node[name]
        if isinstance(node, list) and (depth, name) != (0, "strategies"):
            raise InputError(f"{origin}: {name!r} is a list, of which only strategies are named; set the whole list")
        if not isinstance(node, dict | list):
            raise InputError(f"{origin}: {name!r} is not a mapping, so nothing can be set inside it")
    if isinstance(node, list):
        node, leaf = _strategy_entry(node, leaf, origin)
    node[leaf] = value


def _strategy_entry(entries: list[Any], label: str, origin: str) -> tuple[dict[str, Any], str]:
    """The entry of `entries` that `label` means, as a mapping, and the name of its strategy, the mapping's one key."""
    called = [_called(entry) for entry in entries]
    found = [i for i, (own, _) in enumerate(called) if own == label]
    found = found or [i for i, (_, name) in enumerate(called) if name == label]
    if not found:
        known = ", ".join(own for own, _ in called if own) or "none"
        raise InputError(f"{origin}: no entry of strategies is called {label!r}; there are: {known}")
    if len(found) > 1:
        raise InputError(f"{origin}: {len(found)} entries of strategies are called {label!r}; give each a label")
    name = called[found[0]][1]
    if isinstance(entries[found[0]], str):
        entries[found[0]] = {name: {}}
    return entries[found[0]], name


def _called(entry: Any) -> tuple[str, str]:
    """Label and name of an entry of ``strategies``; both empty if it is none, which validation will say."""
    if isinstance(entry, str):
        return entry, entry
    if not isinstance(entry, dict) or len(entry) != 1:
        return "", ""
    name, settings = next(iter(entry.items()))
    return str((isinstance(settings, dict) and settings.get("label")) or name), str(name)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(inner) for name, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def validate(settings_class: type[S], raw: Any, origin: str) -> S:
    """Validates `raw` into `settings_class`.

    Raises:
        InputError: every problem found, one a line: field, what was given, what is allowed.
    """
    try:
        return settings_class.model_validate(raw)
    except pydantic.ValidationError as error:
        problems = error.errors()
        lines = [_describe(problem, settings_class) for problem in problems[:_MOST_PROBLEMS]]
        lines += [f"and {len(problems) - _MOST_PROBLEMS} problems more"] if len(problems) > _MOST_PROBLEMS else []
        raise InputError("\n".join(f"{origin}: {line}" for line in lines)) from None


def _describe(problem: Any, settings_class: type[Settings]) -> str:
    field = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    given = problem["input"]
    if problem["type"] == "missing":
        return f"{field}: missing; {_allowed(problem['loc'][:-1], settings_class)}"
    if problem["type"] == "extra_forbidden":
        return f"{field}: unknown key; {_allowed(problem['loc'][:-1], settings_class)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{field}: {message[0].lower()}{message[1:]} (given: {short(given)})"


def _allowed(parent: tuple[Any, ...], settings_class: type[Settings]) -> str:
    fields = _fields_at(parent, settings_class)
    return f"known here: {', '.join(fields)}" if fields else "see the README for the known keys"


def _fields_at(parent: tuple[Any, ...], settings_class: Any) -> list[str]:
    """Names of the fields of the settings class that `parent` leads to, as far as annotations tell."""
    current: Any = settings_class
    for part in parent:
        if not (isinstance(current, type) and issubclass(current, pydantic.BaseModel)):
            candidates = _models_in(current)
            if len(candidates) != 1:
                return []
            current = candidates[0]
        if part in current.model_fields:
            current = current.model_fields[part].annotation
    candidates = [current] if isinstance(current, type) and issubclass(current, pydantic.BaseModel) else []
    candidates = candidates or _models_in(current)
    return sorted(candidates[0].model_fields) if len(candidates) == 1 else []


def _models_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    """The model classes named inside a union, list or mapping annotation."""
    found: list[type[pydantic.BaseModel]] = []
    for argument in getattr(annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, pydantic.BaseModel):
            found.append(argument)
        else:
            found.extend(_models_in(argument))
    return found
