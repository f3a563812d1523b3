"""How settings become words: numbers as they are set, lists with their last comma as an `and`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def number(value: float) -> str:
    """A number as it is set; thousands have commas."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def listed(parts: Iterable[str]) -> str:
    """``a, b and c``."""
    found = list(parts)
    return ", ".join(found[:-1]) + (" and " if len(found) > 1 else "") + found[-1] if found else ""


def shown(value: Any) -> str:
    """A setting as text: lists and mappings without braces."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {shown(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return listed(map(shown, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return number(value)


def settings_of(entry: str | Mapping[str, Any]) -> str:
    """An entry of `strategies`: its name, and in brackets the settings that it was given."""
    if isinstance(entry, str):
        return entry
    name, given = next(iter(entry.items()))
    return f"{name} ({_in_brackets(given)})" if given else name


def described(settings: Mapping[str, Any], words: Sequence[tuple[str, str]]) -> list[str]:
    """Phrases of the settings that are there and not zero, each with its value in place of ``{}``."""
    chosen = [(settings.get(name), text) for name, text in words]
    return [text.format(shown(value)) for value, text in chosen if value not in (None, False, 0, [], {})]


def _in_brackets(given: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {shown(value)}" for name, value in given.items() if value is not None)
