"""A sweep as its reader sees it: the points with their results, and their settings side by side."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import pyarrow as pa

from raysim.analysis.reached_models import finals
from raysim.analysis.results import Row, RunResults
from raysim.core.errors import InputError
from raysim.core.run_folder import RunFolder
from raysim.measures.perplexity import perplexity
from raysim.simulation.registry import FAMILIES
from raysim.tables.io import schema
from raysim.tables.results import Results, open_run

_TAKEN = ("bits_per_byte", "test_bits_per_byte", "accuracy", "exclusive", "ratio_eligible", "matched_share", "passes")
"""Measures that the table has under their own names."""


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep.

    Attributes:
        name: of the point.
        folder: its run folder, relative to the sweep's.
        values: for each swept path its value here, as JSON.
        results: its results; None before its run has begun.
        diverged: what its run said when training diverged; empty: it did not.
    """

    name: str
    folder: str
    values: dict[str, str]
    results: RunResults | None
    diverged: str = ""

    @property
    def finished(self) -> bool:
        """Whether its run has come to its end."""
        return self.results is not None and bool(self.results.run.manifest.get("finished"))


@dataclass(frozen=True)
class Trial:
    """A setting at a point; points at which a setting is the same model, measured alike, are one trial.

    Attributes:
        points: that share it.
        row: its measures.
        tokens: trained on, of all organizations, repeats counted; mean over orders and seeds.
    """

    points: tuple[SweepPoint, ...]
    row: Row
    tokens: float

    def values(self, path: str) -> list[str]:
        """The values of the swept `path` that its points have, as JSON."""
        return list(dict.fromkeys(point.values[path] for point in self.points))


class SweepResults:
    """The folder of a sweep; reads the manifest there, and the results of every point."""

    def __init__(self, run: Results) -> None:
        self.run = run
        self.parameters: dict[str, str] = run.manifest["parameters"]
        self.points = [self._point(facts) for facts in run.manifest["points"]]

    def _point(self, facts: dict[str, Any]) -> SweepPoint:
        path = self.run.path / facts["folder"]
        results = RunResults(open_run(path)) if RunFolder(path).manifest.is_file() else None
        diverged = self.run.manifest.get("diverged") or {}
        return SweepPoint(facts["name"], facts["folder"], facts["values"], results, diverged.get(facts["name"], ""))

    @cached_property
    def begun(self) -> list[tuple[SweepPoint, RunResults]]:
        """The points that have begun."""
        return [(point, point.results) for point in self.points if point.results]

    @cached_property
    def trials(self) -> list[Trial]:
        """Every setting at every point, by setting and then in the order of the points."""
        found: dict[tuple[str, str], dict[Any, list[Trial]]] = {}
        for point, results in self.begun:
            for row in results.final_rows():
                final = finals(results.reached_models)
                ends = [m for m in final if m.strategy == row.strategy and row.order in ("", m.order)]
                models = tuple(sorted(m.model for m in ends))
                same = models, tuple(sorted(row.cells.items(), key=lambda cell: cell[0]))
                trial = Trial((point,), row, sum(m.tokens for m in ends) / len(ends))
                found.setdefault((row.strategy, row.order), {}).setdefault(same, []).append(trial)
        place = {point.name: i for i, point in enumerate(self.points)}
        trials: list[Trial] = []
        for alike in found.values():
            joined = [trial for group in alike.values() for trial in self._joined(group)]
            trials += sorted(joined, key=lambda trial: place[trial.points[0].name])
        return sorted(trials, key=lambda trial: FAMILIES.index(trial.row.family))

    def _joined(self, trials: list[Trial]) -> list[Trial]:
        """Equal trials as one, if their points are all combinations of the values that they have; else as they are."""
        joined = replace(trials[0], points=tuple(point for trial in trials for point in trial.points))
        num_combinations = prod(len(joined.values(path)) for path in self.parameters)
        return [joined] if len(joined.points) == num_combinations else trials

    def values(self, path: str) -> list[str]:
        """All values of the swept `path`, as JSON."""
        return list(dict.fromkeys(point.values[path] for point in self.points))

    def shown(self, path: str, values: Iterable[str]) -> str:
        """Values of the swept `path` for people: 'any' where they are all that there are, and more than one."""
        given, known = list(values), self.values(path)
        return "any" if len(known) > 1 and len(given) == len(known) else ", ".join(map(plain_value, given))

    def numbers(self, path: str) -> dict[str, float]:
        """The values of the swept `path` as numbers; empty unless they are numbers, and more than one."""
        parsed = {text: json.loads(text) for text in self.values(path)}
        if len(parsed) < 2 or any(isinstance(v, bool) or not isinstance(v, int | float) for v in parsed.values()):
            return {}
        return {text: float(value) for text, value in parsed.items()}

    def table(self) -> pa.Table:
        """The table `sweep`."""
        rows = []
        for point, results in self.begun:
            for end in finals(results.reached_models):
                measures = {name: value for (name, of), value in results.measures(end.model).items() if of == ""}
                nats = measures.get("log_perplexity")
                rows.append(
                    {
                        "point": point.name,
                        "parameters": list(point.values.items()),
                        "seed": end.seed,
                        "strategy": end.strategy,
                        "order": end.order,
                        "model": end.model,
                        "tokens_seen": end.tokens,
                        "steps": end.steps,
                        "perplexity": None if nats is None else perplexity(nats),
                        **{name: measures.get(name) for name in _TAKEN},
                    }
                )
        return pa.Table.from_pylist(rows, schema("sweep"))


def plain_value(text: str) -> str:
    """A value of a sweep for people: texts without quotes, all else as JSON."""
    value = json.loads(text)
    return value if isinstance(value, str) else text


def is_sweep(folder: Path | str) -> bool:
    """Whether a folder is a sweep's, by its manifest.

    Raises:
        InputError: it is no run folder.
    """
    return "points" in open_run(folder).manifest


def open_sweep(folder: Path | str) -> SweepResults:
    """Opens the folder of a sweep.

    Raises:
        InputError: it is no run folder, or that of a single run.
    """
    run = open_run(folder)
    if "points" not in run.manifest:
        raise InputError(f"{folder}: the folder of a run, not of a sweep")
    return SweepResults(run)
