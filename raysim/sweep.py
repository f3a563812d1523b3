"""Composes a sweep: a run for every point of a grid, all over one store, and a comparison of them.

A point is what ``raysim run EXPERIMENT --set sweep={} --set PATH=VALUE`` would run; so it resumes, is looked up and is
reported as a run of its own is, and stages that do not depend on a swept setting are computed by the first point alone.
"""

import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from raysim.errors import RaysimError
from raysim.experiment import Experiment, LoadedExperiment
from raysim.folder import RunFolder, now, provenance
from raysim.grid import GridPoint, grid, short_names
from raysim.measure import token_counts
from raysim.progress import ConsoleObserver
from raysim.recipe import Key
from raysim.run import (
    Opener,
    Options,
    Outcome,
    costs,
    look_ahead,
    open_backend,
    plan_experiment,
    scratch_store,
)
from raysim.run import run as run_experiment
from raysim.simulation.backends import Backend, RayBackend
from raysim.simulation.planner import Plan
from raysim.simulation.store import Store

POINTS = "points"
"""Folder of the points' run folders, within the sweep's."""


@dataclass(frozen=True)
class Point:
    """One point of a sweep, validated.

    Attributes:
        place: in the grid.
        options: that run it alone.
        loaded: its experiment.
    """

    place: GridPoint
    options: Options
    loaded: LoadedExperiment


@dataclass(frozen=True)
class Sweep:
    """All points of an experiment.

    Attributes:
        base: the experiment with its base values.
        folder: of the sweep.
        points: in their order; none if the experiment sweeps nothing.
    """

    base: Experiment
    folder: RunFolder
    points: tuple[Point, ...]


def load_sweep(options: Options) -> Sweep:
    """The validated points of an experiment.

    Raises:
        InputError: whatever is wrong with the experiment or with a point, which is named.
    """
    loaded, folder = options.load()
    points: list[Point] = []
    for place in grid(loaded.experiment.sweep) if loaded.experiment.sweep else []:
        own = _options(options, place, folder)
        with _naming(place):
            points.append(Point(place, own, own.load()[0]))
    return Sweep(loaded.experiment, folder, tuple(points))


def run(options: Options, observer: ConsoleObserver) -> Outcome:
    """Runs an experiment, or every point of its sweep, to the end, from wherever an earlier run of it stopped.

    Raises:
        InputError: something is wrong with the experiment or with a point; nothing was trained.
        RunError: the run could not go on; the same command resumes.
    """
    started_s = time.monotonic()
    sweep = load_sweep(options)
    if not sweep.points:
        return run_experiment(options, observer)
    facts = {
        "name": sweep.base.name,
        "experiment": sweep.base.model_dump(mode="json"),
        "parameters": short_names(sweep.base.sweep),
        "points": [
            {"name": point.place.name, "folder": f"{POINTS}/{point.place.name}", "values": dict(point.place.values)}
            for point in sweep.points
        ],
        "command": options.command,
        "created": now(),
        **provenance(),
    }
    with sweep.folder.locked():
        observer.phase(f"Checking the {len(sweep.points)} points of the sweep")
        new = _new_tokens(sweep)
        sweep.folder.write_manifest(**facts, finished=None)
        with _one_backend() as opener:
            for number, point in enumerate(sweep.points, 1):
                later = {kind: sum(tokens[kind] for tokens in new[number:]) for kind in new[0]}
                observer.point(point.place.name, number, len(sweep.points), later)
                with _naming(point.place):
                    run_experiment(point.options, observer, opener)
        sweep.folder.write_manifest(**facts, finished=now())
        observer.phase("Comparing the points")
        from raysim.report.sweep_html import write_sweep_report  # imports plotly and scipy

        write_sweep_report(sweep.folder.path)
    return Outcome(sweep.folder, observer.counts(), time.monotonic() - started_s)


def plan(options: Options) -> dict[str, Any]:
    """What a run, or a whole sweep, would do, and what it costs; work that points share counts once.

    Raises:
        InputError: whatever is wrong with the experiment or with a point.
    """
    sweep = load_sweep(options)
    if not sweep.points:
        return plan_experiment(options)
    everything, known = Plan(), set[Key]()
    points: list[dict[str, Any]] = []
    with scratch_store(sweep.folder) as store:
        for point in sweep.points:
            with _naming(point.place):
                outlook = look_ahead(point.loaded, store)
                stages, earlier = outlook.plan.unique_stages().keys(), {stage.key for stage in everything.stages}
                cost = costs(point.loaded, outlook, known)
            everything.stages += outlook.plan.stages
            everything.models += outlook.plan.models
            points.append(
                {
                    "point": point.place.name,
                    "values": dict(point.place.values),
                    "naive": len(outlook.plan.stages),
                    "unique": len(stages),
                    "new": len(stages - earlier),
                    **cost,
                }
            )
        summary = everything.summary(store.has)
        unique = everything.unique_stages()
        cached = sum(map(store.has, unique))
    return {
        "name": sweep.base.name,
        "sweep": sweep.base.sweep,
        "points": points,
        "strategies": summary,
        "stages": {"naive": len(everything.stages), "unique": len(unique), "cached": cached},
        "models": len({model.milestone.model for model in everything.models}),
        "tokens": {kind: sum(point["tokens"][kind] for point in points) for kind in points[0]["tokens"]},
        "hours": round(sum(point["hours"] for point in points), 4),
        "bytes": sum(point["bytes"] for point in points),
    }


def _options(options: Options, place: GridPoint, folder: RunFolder) -> Options:
    """What runs a point alone, with the command that a person would type for it."""
    out, overrides = folder.path / POINTS / place.name, (*options.overrides, *place.overrides)
    words = ["raysim", "run", str(options.experiment), "--out", str(out), "--store", str(folder.store)]
    words += [word for override in overrides for word in ("--set", override)]
    words += ["--address", options.address] if options.address else []
    return replace(
        options, out=out, store=folder.store, overrides=overrides, command=shlex.join(words), point=place.name
    )


def _new_tokens(sweep: Sweep) -> list[dict[str, int]]:
    """For each point the tokens of every kind that neither the store has nor an earlier point computes.

    Raises:
        InputError: what only a look at the data shows to be wrong with a point.
    """
    store = Store(sweep.folder.store)
    known: set[Key] = set()
    found: list[dict[str, int]] = []
    for point in sweep.points:
        with _naming(point.place):
            work = look_ahead(point.loaded, store).work
        found.append(token_counts({kind: _without(pieces, known) for kind, pieces in work.items()}))
        known.update(key for pieces in work.values() for key in pieces)
    return found


def _without(pieces: dict[Key, int], known: set[Key]) -> dict[Key, int]:
    return {key: tokens for key, tokens in pieces.items() if key not in known}


@contextmanager
def _one_backend() -> Iterator[Opener]:
    """An opener under which Ray starts once, at the first point that needs it, and ends with the block.

    A backend that is opened while Ray is there joins it, and closing it ends its own actors alone.
    """
    with ExitStack() as stack:
        held: list[Backend] = []

        def opener(loaded: LoadedExperiment, address: str | None) -> Backend:
            backend = open_backend(loaded, address)
            if held or not isinstance(backend, RayBackend):
                return backend
            held.append(backend)
            stack.callback(backend.close)
            return open_backend(loaded, address)

        yield opener


@contextmanager
def _naming(place: GridPoint) -> Iterator[None]:
    """Puts the point before whatever error comes from it."""
    try:
        yield
    except RaysimError as error:
        raise type(error)("\n".join(f"point {place.name}: {line}" for line in str(error).splitlines())) from error
