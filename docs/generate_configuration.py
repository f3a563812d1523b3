"""Prints docs/configuration.md, the reference of every setting, from the settings classes themselves.

    python docs/generate_configuration.py > docs/configuration.md

Only what raysim's own distribution registers is listed, so that the page does not depend on what else is installed.
"""

import json
import types
import typing
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from typing import Any

import pydantic
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from raysim.core.settings import Settings
from raysim.experiment.config import Experiment

HEAD = """\
# Configuration

<!-- Written by docs/generate_configuration.py; change the settings classes, not this page. -->

An experiment is one YAML file. Every setting is checked before anything starts, and an error names the field, what was
given and what is allowed. Only `name`, `organizations`, `tokenizer`, `model` and `strategies` must be there.

- `--set a.b=c` on the command line overrides one setting; `c` is YAML. A path runs into `strategies` by label:
  `--set strategies.fedyogi.eta=0.03`.
- `raysim schema` prints all of this as a JSON schema, from which editors complete and check a file.
- A **size** is a number of bytes or text such as `40 KB` (1 KB = 1000 bytes). A **share** is a number up to 1 or text
  such as `20 %`. Relative paths start from the folder of the experiment file.
- *required*: there is no default. *unset*: nothing is there unless you write it.
"""

NAMES = {str: "text", int: "integer", float: "number", bool: "`true` or `false`", Any: "any YAML", type(None): "null"}
PARSED = {"_parse_size": "size", "_parse_share": "share"}
"""What a validator that reads text makes of it."""

Section = tuple[str, type[Settings], str]
"""The path of a group of settings, their class, and what stands for its members in headings."""


def sections() -> Iterator[Section]:
    """All groups of settings, outer ones first."""
    yield from below("", Experiment)
    for group, prefix in (("raysim.strategies", "strategies"), ("raysim.measures", "measure")):
        points = distribution("raysim").entry_points.select(group=group)
        for point in sorted(points, key=lambda point: point.name):
            owner = getattr(point.load(), "Settings", None)
            if isinstance(owner, type) and issubclass(owner, Settings):
                yield from below(f"{prefix}.{point.name}", owner)


def below(path: str, owner: type[Settings]) -> Iterator[Section]:
    yield path, owner, (owner.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
    for name, field in owner.model_fields.items():
        for inner_path, inner in groups(f"{path}.{name}".lstrip("."), field.annotation):
            yield from below(inner_path, inner)


def groups(path: str, annotation: Any) -> Iterator[tuple[str, type[Settings]]]:
    """The settings classes that a type names, and their paths: ``NAME`` stands for a key, ``[]`` for an item."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield path, annotation
        return
    suffix = {dict: ".NAME", list: "[]", tuple: "[]"}.get(typing.get_origin(annotation) or type(None), "")
    for argument in typing.get_args(annotation):
        yield from groups(path + suffix, argument)


def type_text(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A type as a reader of YAML knows it."""
    for item in metadata:
        name = getattr(getattr(item, "func", None), "__name__", "")
        if name in PARSED:
            return PARSED[name]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_text(arguments[0], arguments[1:]) + limits(arguments[1:])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_text(argument) for argument in arguments if argument is not type(None))
    if origin is dict:
        return f"mapping of name to {type_text(arguments[1])}"
    if origin is tuple and Ellipsis not in arguments:
        return "list of " + ", ".join(map(type_text, arguments))
    if origin in (list, tuple):
        return f"list of {type_text(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "settings"
    if annotation in NAMES:
        return NAMES[annotation]
    return getattr(annotation, "__name__", str(annotation))


def limits(metadata: Sequence[Any]) -> str:
    """What bounds a value, as text behind its type."""
    found = []
    for item in metadata:
        match item:
            case FieldInfo():
                found.append(limits(item.metadata).strip(" ,"))
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


def default_text(field: FieldInfo) -> str:
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


def meaning(field: FieldInfo) -> str:
    """The description; of a group without one, the first sentence about its class."""
    if field.description:
        return field.description
    for _, owner in groups("", field.annotation):
        first = (owner.__doc__ or "").strip().split("\n")[0].rstrip(".")
        return first[:1].lower() + first[1:]
    return ""


def link(path: str) -> str:
    """The anchor that the site makes of a heading."""
    return "#" + "".join(c for c in path.lower() if c.isalnum() or c in "_-")


def rows(path: str, owner: type[Settings]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in owner.model_fields.items():
        own = f"{path}.{name}".lstrip(".")
        shown = f"`{own}`"
        inner = [inner_path for inner_path, _ in groups(own, field.annotation)]
        if inner:
            shown = f"[{shown}]({link(inner[0])})"
        kind = type_text(field.annotation, field.metadata) + limits(field.metadata)
        yield shown, kind, default_text(field), meaning(field)


def escaped(cell: str) -> str:
    """Text for a cell: a bar would end it, and asterisks outside code would be emphasis."""
    if "`" not in cell and not cell.startswith("*"):
        cell = cell.replace("*", "\\*")
    return cell.replace("|", "\\|")


def page() -> str:
    parts = [HEAD]
    seen: dict[type[Settings], str] = {}
    paths: set[str] = set()
    for path, owner, about in sections():
        if path in paths:
            continue  # a measure that the experiment's own class names already
        paths.add(path)
        parts.append(f"## {path or 'The file'}\n")
        if owner in seen:
            parts.append(f"The settings of [`{seen[owner]}`]({link(seen[owner])}).\n")
            continue
        seen[owner] = path
        parts += [about + "\n", "| setting | type | default | meaning |", "|---|---|---|---|"]
        for row in rows(path, owner):
            parts.append("| " + " | ".join(map(escaped, row)) + " |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
