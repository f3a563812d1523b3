"""Composes a sweep: a run for every point of a grid or every mitigation, over one store, and a comparison of them.

A point is what ``raysim run EXPERIMENT --set sweep={} --set PATH=VALUE`` would run; so it resumes, is looked up and is
reported as a run of its own is, and stages that do not depend on a swept setting are computed by the first point alone.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from raysim.cluster.backend import Backend
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import Diverged, RaysimError
from raysim.core.keys import Key
from raysim.core.run_folder import RunFolder, now, provenance
from raysim.experiment.cautions import cautions
from raysim.experiment.config import Experiment, LoadedExperiment
from raysim.experiment.continuation import check_kind, check_settings
from raysim.experiment.grid import GridPoint
from raysim.experiment.observer import Observers, RunObserver
from raysim.experiment.plan import RunPlan, plan_run_alone, tried_parameters
from raysim.experiment.points import parameters_of, points_of, swept
from raysim.experiment.preview import costs, plan_experiment, scratch_store
from raysim.experiment.progress_log import ProgressLog
from raysim.experiment.resources import Note, Opener, check_address, open_backend
from raysim.experiment.run import Options, ReportWriter, RunOutcome
from raysim.experiment.run import run as run_experiment
from raysim.measures.evaluation_plan import pending_work
from raysim.simulation.planner import Plan
from raysim.simulation.privacy import privacy_cautions
from raysim.store.references import References
from raysim.store.store import Store

V = TypeVar("V")

POINTS = "points"
"""Folder of the points' run folders, within the sweep's."""


@dataclass(frozen=True)
class PlannedPoint:
    """One point of a sweep, validated.

    Attributes:
        place: in the grid.
        options: that run it alone.
        loaded: its experiment.
        folder: of its run.
    """

    place: GridPoint
    options: Options
    loaded: LoadedExperiment
    folder: RunFolder


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
    points: tuple[PlannedPoint, ...]


def load_sweep(options: Options) -> Sweep:
    """The validated points of an experiment.

    Raises:
        InputError: whatever is wrong with the experiment or with a point, which is named.
    """
    loaded, folder = options.load()
    points: list[PlannedPoint] = []
    for place in points_of(loaded.experiment):
        own = _options(options, place, folder)
        with _naming(place):
            points.append(PlannedPoint(place, own, *own.load()))
    return Sweep(loaded.experiment, folder, tuple(points))


def run(options: Options, observer: RunObserver, write_report: ReportWriter) -> RunOutcome:
    """Runs an experiment, or every point of its sweep, to the end, from wherever an earlier run of it stopped.

    Raises:
        InputError: something is wrong with the experiment or with a point; nothing was trained.
        RunError: the run could not go on; the same command resumes.
        Diverged: training did at every point; where it did at some, they are noted, and the others compared.
    """
    started_s = time.monotonic()
    sweep = load_sweep(options)
    check_address(sweep.base.execution, options.address)
    if not sweep.points:
        return run_experiment(options, observer, write_report)
    facts = {
        "name": sweep.base.name,
        "experiment": sweep.base.model_dump(mode="json"),
        "store": sweep.folder.store_for_manifest(),
        "parameters": parameters_of(sweep.base),
        "points": [
            {"name": point.place.name, "folder": f"{POINTS}/{point.place.name}", "values": dict(point.place.values)}
            for point in sweep.points
        ],
        "command": options.recorded(),
        **provenance(),
    }
    diverged: dict[str, str] = {}
    with sweep.folder.locked(), ExitStack() as watching:
        if options.overwrite:
            sweep.folder.clear()
            sweep.folder.progress.unlink(missing_ok=True)
        else:
            check_kind(sweep.folder, sweeps=True)
            for point in sweep.points:
                with _naming(point.place):
                    check_settings(point.folder, point.loaded)
        store = Store(sweep.folder.store)
        references = References(sweep.folder.store)
        observer = Observers(observer, watching.enter_context(ProgressLog(sweep.folder.progress)))
        with references.at_work(), _one_backend() as opener:
            observer.phase(f"Checking the {len(sweep.points)} points of the sweep")
            where = options.address if sweep.base.pinned else None
            ahead = [(planned, new.pending) for planned, new in _new_work(sweep, store, where, opener)]
            sweep.folder.write_manifest(**facts, finished=None)
            for number, point in enumerate(sweep.points, 1):
                later = {kind: sum(pending[kind] for _, pending in ahead[number:]) for kind in ahead[0][1]}
                observer.point(point.place.name, number, len(sweep.points), later)
                # A point may let nothing go that a later one starts from.
                needed = {key for planned, _ in ahead[number:] for key in planned.recipes}
                references.write(sweep.folder.path, needed, needed)
                try:
                    with _naming(point.place):
                        run_experiment(point.options, observer, write_report, opener)
                except Diverged as error:
                    if len(diverged) == len(sweep.points) - 1:
                        raise
                    diverged[point.place.name] = str(error)
                    observer.note(str(error))
        sweep.folder.write_manifest(**facts, finished=now(), diverged=diverged)
        observer.phase("Comparing the points")
        write_report(sweep.folder.path)
    return RunOutcome(sweep.folder, observer.counts(), time.monotonic() - started_s)


def plan(options: Options) -> dict[str, Any]:
    """What a run, or a whole sweep, would do, and what it costs; work that points share counts once.

    Raises:
        InputError: whatever is wrong with the experiment or with a point.
    """
    sweep = load_sweep(options)
    if not sweep.points:
        return plan_experiment(options)
    everything = Plan()
    rows: list[dict[str, Any]] = []
    seconds = 0.0
    num_bytes = peak_bytes = 0
    with scratch_store(sweep.folder) as store, _one_backend() as opener:
        points = _new_work(sweep, store, options.address, opener)
        for point, (planned, new) in zip(sweep.points, points, strict=True):
            everything.stages += planned.stages
            cost = costs(point.loaded, new)
            # Ray starts once, and every point is prepared once more when all are checked.
            took = cost["seconds"]
            seconds += sum(took.values()) + took["preparation"] - (took["start"] if rows else 0.0)
            peak_bytes = max(peak_bytes, num_bytes + cost["peak_bytes"])
            num_bytes += cost["bytes"]
            rows.append(
                {
                    "point": point.place.name,
                    "values": dict(point.place.values),
                    "naive": len(planned.stages),
                    "unique": len(planned.unique_stages()),
                    "new": len(new.plan.unique_stages()),
                    **cost,
                    "warnings": [
                        *cautions(point.loaded, new.setup.client_stats),
                        *privacy_cautions(new.setup.strategy_runs, tried_parameters(point.loaded, new).trained),
                        *planned.stops,
                    ],
                }
            )
        summary = everything.summary(store.has)
        unique = everything.unique_stages()
        cached = sum(map(store.has, unique))
    return {
        "name": sweep.base.name,
        "sweep": swept(sweep.base),
        "points": rows,
        "strategies": summary,
        "stages": {"naive": len(everything.stages), "unique": len(unique), "cached": cached},
        "models": sum(row["models"] for row in rows),
        "tokens": {kind: sum(row["tokens"][kind] for row in rows) for kind in rows[0]["tokens"]},
        "hours": round(seconds / 3600, 4),
        "bytes": num_bytes,
        "peak_bytes": peak_bytes,
    }


def _options(options: Options, place: GridPoint, folder: RunFolder) -> Options:
    """What runs a point alone."""
    out, overrides = folder.path / POINTS / place.name, (*options.overrides, *place.overrides)
    return replace(options, out=out, store=folder.store, overrides=overrides, command="", point=place.name)


def _new_work(sweep: Sweep, store: Store, address: str | None, opener: Opener) -> Iterator[tuple[Plan, RunPlan]]:
    """For each point its plan, and what is ahead of it that is in no point before.

    Raises:
        InputError: what only a look at the data shows to be wrong with a point.
    """
    known: set[Key] = set()
    for point in sweep.points:
        with _naming(point.place):
            run_plan = plan_run_alone(point.loaded, store, address, opener)
            if any(run_plan.pending.values()):
                tried_parameters(point.loaded, run_plan)
        plan, evaluations = run_plan.plan, _without(run_plan.evaluations, known)
        new = Plan(
            stages=[stage for stage in plan.stages if stage.key not in known],
            models=[model for model in plan.models if model.checkpoint.model not in known],
            recipes=_without(plan.recipes, known),
            buffers=_without(plan.buffers, known),
            importances=_without(plan.importances, known),
        )
        known |= {*plan.recipes, *run_plan.evaluations, *(model.checkpoint.model for model in plan.models)}
        yield plan, RunPlan(run_plan.setup, new, evaluations, *pending_work(new, evaluations, store))


def _without(found: Mapping[Key, V], known: set[Key]) -> dict[Key, V]:
    return {key: value for key, value in found.items() if key not in known}


@contextmanager
def _one_backend() -> Iterator[Opener]:
    """An opener under which Ray starts once, at the first point that needs it, and ends with the block.

    A backend that is opened while Ray is there joins it, and closing it ends its own actors alone. Nodes of an
    autoscaler are asked for once, as long as points want the same, and go with the block.
    """
    with ExitStack() as stack:
        held: list[RayBackend] = []

        def opener(loaded: LoadedExperiment, address: str | None, note: Note) -> Backend:
            if not held:
                backend = open_backend(loaded, address, note)
                if not isinstance(backend, RayBackend):
                    return backend
                held.append(backend)
                stack.callback(backend.close)
            return open_backend(loaded, address, note, held[0])

        yield opener


@contextmanager
def _naming(place: GridPoint) -> Iterator[None]:
    """Puts the point before whatever error comes from it."""
    try:
        yield
    except RaysimError as error:
        raise type(error)("\n".join(f"point {place.name}: {line}" for line in str(error).splitlines())) from error
