"""Finds what packages add to raysim through entry points: strategies, measures, engines, objectives, sources."""

import functools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from typing import Any

from raysim.core.errors import InputError
from raysim.core.settings import Settings


def installed(group: str) -> list[str]:
    """Names of the entry points of `group`, sorted."""
    return sorted(_points(group, tuple(sys.path)))


def load_extension(group: str, name: str, noun: str, where: str, base: type) -> Any:
    """The class behind an entry point.

    Args:
        group: for example ``raysim.strategies``.
        name: of the entry point.
        noun: what the group's entries are, for messages.
        where: the setting that names it, for messages.
        base: the protocol that it implements, or the class that it derives from.

    Raises:
        InputError: nothing of that name is installed, two packages bring it, it cannot be imported, or it is no `base`.
    """
    points = _points(group, tuple(sys.path))
    if name not in points:
        raise InputError(f"{where}: unknown {noun} {name!r}; known: {', '.join(sorted(points)) or 'none installed'}")
    if len(values := sorted({point.value for point in points[name]})) > 1:
        raise InputError(f"{where}: {noun} {name!r} is installed twice, as {' and '.join(values)}; uninstall one")
    return load_class(points[name][0], f"{where}: {noun}", base)


def load_class(point: EntryPoint, noun: str, base: type) -> Any:
    """The class behind `point`.

    Raises:
        InputError: it cannot be imported, whatever its package raises then, or it is no `base`.
    """
    named = f"{noun} {point.name!r} ({point.value})"
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{named} cannot be loaded: {type(error).__name__}: {reason}; mend or uninstall its package"
        ) from error
    if problem := _unlike(found, base):
        raise InputError(f"{named} is no {base.__name__}: {problem}")
    return found


def _unlike(found: Any, base: type) -> str:
    """What of `base` an object lacks; empty: nothing."""
    if not isinstance(found, type):
        return f"it is no class but {type(found).__name__}"
    if not getattr(base, "_is_protocol", False):
        return "" if issubclass(found, base) else f"it does not derive from raysim.{base.__name__}"
    settings = getattr(found, "Settings", None)
    if "Settings" in base.__annotations__ and not (isinstance(settings, type) and issubclass(settings, Settings)):
        return f"its Settings must be a class that derives from {Settings.__module__}.Settings"
    methods = [name for name, value in vars(base).items() if name[0] != "_" and hasattr(value, "__get__")]
    missing = [name for name in methods if not callable(getattr(found, name, None))]
    return f"it lacks {', '.join(missing)}" if missing else ""


@functools.cache
def _points(group: str, path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Entry points by name; `path` is where they are looked for, which takes tens of milliseconds."""
    del path
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


@dataclass(frozen=True)
class Extension:
    """What a package other than raysim's own brings, as it is installed in one place.

    Attributes:
        title: for messages, for example ``strategy fedmedian``.
        module: that it is in.
        package: that brings it.
        version: of the package.
    """

    title: str
    module: str
    package: str
    version: str


def foreign(group: str, names: Iterable[str], noun: str) -> list[Extension]:
    """Those of the entry points `names` of `group` that other packages bring."""
    points = _points(group, tuple(sys.path))
    found = [(name, points[name][0]) for name in dict.fromkeys(names) if name in points]
    return [
        Extension(f"{noun} {name}", point.module, point.dist.name, point.dist.version)
        for name, point in found
        if point.dist and point.dist.name != "raysim"
    ]


def needed(title: str, names: Iterable[str]) -> list[Extension]:
    """Packages by their names, or modules that lie on the path as files, that `title` needs wherever it works.

    What is not here either is left out: whoever imports it says so.
    """
    found = []
    for name in names:
        try:
            found.append(Extension(title, name, name, version(name)))
        except PackageNotFoundError:
            if _is_module(name):
                found.append(Extension(title, name, name, "as files"))
    return found


def lacking(extensions: Sequence[Extension]) -> list[str]:
    """What is wrong with `extensions` in this process: one that is missing, or there in another version."""
    problems = []
    for one in extensions:
        try:
            there = version(one.package)
        except PackageNotFoundError:
            there = one.version if _is_module(one.module) else ""  # files without an installation, sent along
        if there != one.version:
            state = f"is there in version {there}" if there else "is not installed"
            problems.append(f"{one.title} ({one.package} {one.version}) {state}")
    return problems


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False
