"""The tracker: what it takes to send a run's curves somewhere, in one class of the group ``raysim.trackers``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raysim.core.errors import InputError
from raysim.core.extensions import load_extension

GROUP = "raysim.trackers"


@dataclass(frozen=True)
class Point:
    """A point of a curve.

    Attributes:
        curve: its name; parts of it end in ``/``.
        step: of the curve, in ascending order.
        value: a finite number.
    """

    curve: str
    step: int
    value: float


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker knows of a run.

    Attributes:
        name: of the experiment, and of the point of a sweep.
        folder: of the run; a tracker that keeps files makes a folder of its own there.
        settings: of training and measuring, as JSON values; those that say where code lies are not among them.
        on_ray: whether its actors live on Ray.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    on_ray: bool

    def flat_settings(self) -> Iterator[tuple[str, str]]:
        """The settings as paths and values in text."""
        return _flat("", self.settings)


class Tracker(Protocol):
    """Sends points of curves to one place. It is made, called and closed in a thread of its own.

    Whatever it raises there is noted, and it is not called again: a run does not depend on it.
    """

    def __init__(self, run: TrackedRun) -> None: ...

    @classmethod
    def check(cls, run: TrackedRun) -> None:
        """Looks for what the tracker needs, before anything starts.

        Raises:
            InputError: what is missing, and how to get it.
        """
        ...

    def log(self, points: Sequence[Point]) -> None:
        """Sends points."""
        ...

    def close(self) -> None:
        """Called once, at the end."""
        ...


def trackers(names: Sequence[str], run: TrackedRun) -> dict[str, type[Tracker]]:
    """The trackers of these names, each of which has found what it needs.

    Raises:
        InputError: one is not installed, or lacks something.
    """
    found: dict[str, type[Tracker]] = {
        name: load_extension(GROUP, name, "tracker", "execution.track", Tracker) for name in dict.fromkeys(names)
    }
    for tracker in found.values():
        tracker.check(run)
    return found


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}" if path else name, inner)
    else:
        yield path, json.dumps(value) if isinstance(value, list | Mapping) else str(value)


def require(module: str) -> None:
    """Refuses to start without a module, which an extra of its name brings.

    Raises:
        InputError: it is not installed.
    """
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise InputError(
            f"execution.track: {module} needs the package {module}, which is not installed;"
            f" pip install 'raysim[{module}]'"
        )
