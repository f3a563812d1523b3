"""Finds what packages add to raysim through entry points: strategies, engines, objectives, sources."""

import functools
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from raysim.core.errors import InputError


def installed(group: str) -> list[str]:
    """Names of the entry points of `group`, sorted."""
    return sorted(_points(group, tuple(sys.path)))


def load_extension(group: str, name: str, noun: str, where: str) -> Any:
    """The object behind an entry point.

    Args:
        group: for example ``raysim.strategies``.
        name: of the entry point.
        noun: what the group's entries are, for messages.
        where: the setting that names it, for messages.

    Raises:
        InputError: nothing of that name is installed, two packages bring it, or it cannot be imported.
    """
    points = _points(group, tuple(sys.path))
    if name not in points:
        raise InputError(f"{where}: unknown {noun} {name!r}; known: {', '.join(sorted(points)) or 'none installed'}")
    if len(values := sorted({point.value for point in points[name]})) > 1:
        raise InputError(f"{where}: {noun} {name!r} is installed twice, as {' and '.join(values)}; uninstall one")
    try:
        return points[name][0].load()
    except (ImportError, AttributeError) as error:
        raise InputError(f"{where}: {noun} {name!r} ({values[0]}) cannot be loaded: {error}") from error


@functools.cache
def _points(group: str, path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Entry points by name; `path` is where they are looked for, which takes tens of milliseconds."""
    del path
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found
