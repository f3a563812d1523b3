"""The grid of a sweep: its points in file order, the last setting fastest, each with a short name for its folder."""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAME_LENGTH = 120
"""File systems take 255 bytes; a person takes less."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]+")


@dataclass(frozen=True)
class GridPoint:
    """One point of a sweep.

    Attributes:
        number: its place, from 1.
        name: short, unique within the sweep, fit for a folder.
        values: for each swept path its value here, as JSON.
        settings: paths and values, as JSON, that make the point; of a grid those of `values`.
    """

    number: int
    name: str
    values: Mapping[str, str]
    settings: Mapping[str, str]

    @property
    def overrides(self) -> tuple[str, ...]:
        """What ``--set`` would say to run this point alone."""
        return ("sweep={}", *(f"{path}={value}" for path, value in self.settings.items()))


def check_sweep(sweep: Mapping[str, Sequence[Any]]) -> None:
    """Refuses what is no grid.

    Raises:
        ValueError: a path that cannot be swept, or values that are none, twice the same, or no JSON.
    """
    for path, values in sweep.items():
        parts = path.split(".")
        if not all(parts) or "=" in path:
            raise ValueError(f"{path!r} is no path of a setting; write for example trainer.learning_rate")
        if parts[0] in ("name", "sweep"):
            raise ValueError(f"{parts[0]} cannot be swept; every point has its own folder below the sweep's")
        if above := next((other for other in sweep if path.startswith(f"{other}.")), None):
            raise ValueError(f"{path} lies within {above}, which is swept too; keep one of them")
        if not values:
            raise ValueError(f"{path} has no values; give at least one, for example {path}: [1, 2]")
        try:
            texts = [_text(value) for value in values]
        except (TypeError, ValueError):
            raise ValueError(f"{path} has a value that is no text, number, true, false, list or mapping") from None
        if twice := next((text for i, text in enumerate(texts) if text in texts[:i]), None):
            raise ValueError(f"{path} holds {twice} twice")


def grid(sweep: Mapping[str, Sequence[Any]]) -> list[GridPoint]:
    """Every combination of the values of `sweep`, in its order, the last setting fastest.

    Names read ``learning_rate=0.001,eta=0.01``. Where that would be long, or the same for two points, they are numbers.
    """
    short = short_names(sweep)
    combinations = [
        dict(zip(sweep, combination, strict=True))
        for combination in itertools.product(*([_text(value) for value in values] for values in sweep.values()))
    ]
    names = [
        ",".join(f"{_safe(short[path])}={_safe(value)}" for path, value in values.items()) for values in combinations
    ]
    if len({name.lower() for name in names}) < len(names) or max(map(len, names), default=0) > _NAME_LENGTH:
        width = len(str(len(names)))
        names = [f"point-{number:0{width}}" for number in range(1, len(names) + 1)]
    found = enumerate(zip(names, combinations, strict=True), 1)
    return [GridPoint(i, name, values, values) for i, (name, values) in found]


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """For each path its last part, or as many of its last parts as no other path ends with."""
    split = {path: path.split(".") for path in paths}

    def tail(path: str) -> str:
        parts = split[path]
        others = [other for name, other in split.items() if name != path]
        for length in range(1, len(parts)):
            if all(other[-length:] != parts[-length:] for other in others):
                return ".".join(parts[-length:])
        return path

    return {path: tail(path) for path in split}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _safe(text: str) -> str:
    """`text` with every run of characters that a folder's name should not hold made one '-'."""
    return _UNSAFE.sub("-", text).strip("-.") if not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
