"""Composes the parts: what `raysim inspect`, `plan`, `run` and `report` do."""

import re
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysim.cluster.backend import Backend, InlineBackend
from raysim.core.errors import InputError, os_errors
from raysim.core.event_loop import run_coroutine
from raysim.core.run_folder import RunFolder, now, provenance
from raysim.experiment.cautions import cautions
from raysim.experiment.config import LoadedExperiment, load_experiment
from raysim.experiment.continuation import check_content, check_settings, content_of_setup, experiment_hash
from raysim.experiment.estimate.memory import foresee
from raysim.experiment.estimate.timings import Timing, note_timing
from raysim.experiment.estimate.timings import this_machine as machine_name
from raysim.experiment.execute import execute
from raysim.experiment.observer import RunObserver
from raysim.experiment.plan import RunPlan, clips, generates, memory_load, plan_run, plan_run_alone, try_model, workload
from raysim.experiment.resources import Opener, machine_of, open_actor_pool, open_backend
from raysim.experiment.source_versions import source_versions
from raysim.experiment.watching import Watchers
from raysim.experiment.write_tables import (
    corpora_rows,
    licence_rows,
    model_rows,
    obfuscation_rows,
    participation_rows,
    redaction_rows,
    write_joined,
    write_rows,
)
from raysim.measures.evaluation_plan import measured_models
from raysim.measures.registry import measures
from raysim.simulation.participation import absentees
from raysim.simulation.privacy import privacy_rows
from raysim.store.references import References
from raysim.store.retention import Retention, parents_of
from raysim.store.store import Store
from raysim.store.task_log import read_log
from raysim.store.transfers import ledger_rows
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import Parameters


@dataclass(frozen=True)
class Options:
    """What the command line, or a call of `raysim.run`, says beside the experiment.

    Attributes:
        experiment: the YAML file, or what such a file holds; see `load_experiment`.
        out: run folder; None: ``runs/NAME``.
        store: folder of the store; None: inside the run folder.
        overrides: ``a.b=c`` assignments.
        address: of a Ray cluster; None: that of ``RAY_ADDRESS``, else a Ray of our own.
        command: as it was typed, for the manifest; empty: `equivalent` to these options.
        point: which point of a sweep this is, for the manifest; empty: none.
        overwrite: whether results of another experiment in the run folder are replaced.
        base: folder from which relative paths start in an experiment that is no file; None: the current one.
    """

    experiment: Path | Mapping[str, Any]
    out: Path | None = None
    store: Path | None = None
    overrides: tuple[str, ...] = ()
    address: str | None = None
    command: str = ""
    point: str = ""
    overwrite: bool = False
    base: Path | None = None

    def load(self) -> tuple[LoadedExperiment, RunFolder]:
        """The validated experiment and its run folder.

        Raises:
            InputError: whatever is wrong with the experiment.
        """
        loaded = load_experiment(self.experiment, self.overrides, self.base)
        return loaded, RunFolder(self.out or Path("runs") / loaded.experiment.name, self.store)

    def equivalent(self) -> str:
        """The command that runs this, or the call where the experiment is no file."""
        named = {"out": self.out, "store": self.store, "address": self.address}
        given: dict[str, Any] = {name: str(value) for name, value in named.items() if value}
        if not isinstance(self.experiment, Path):
            given |= {"overrides": list(self.overrides)} if self.overrides else {}
            return f"raysim.run({', '.join(['experiment', *(f'{name}={value!r}' for name, value in given.items())])})"
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        words += [word for override in self.overrides for word in ("--set", override)]
        return shlex.join(["raysim", "run", str(self.experiment), *words])

    def recorded(self) -> str:
        """The command as a manifest has it: without the address of a webhook, which may hold a secret."""
        return WEBHOOK.sub(r"\1...", self.command or self.equivalent())


WEBHOOK = re.compile(r"""(\bwebhook['"]?\s*[:=]\s*['"]?)[^\s'",}]+""")
"""Where a command gives the address of one, up to the address and with it."""


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: its folder, the work by kind and status, seconds."""

    folder: RunFolder
    counts: dict[str, int]
    seconds: float


ReportWriter = Callable[[Path], object]
"""Writes the report of a run folder from its tables."""


def run(
    options: Options, observer: RunObserver, write_report: ReportWriter, opener: Opener = open_backend
) -> RunOutcome:
    """Runs an experiment to its end, from wherever an earlier run of it stopped.

    Args:
        options: of the command line.
        observer: receives progress.
        write_report: writes the report of the run, when its tables are there.
        opener: of the backend, which is closed when the run ends.

    Raises:
        InputError: something is wrong with the experiment, or the folder holds results of another; nothing was
            trained.
        RunError: the run could not go on; the same command resumes.
    """
    started_s = time.monotonic()
    before_s = _age_of_process() if options.command else 0.0
    loaded, folder = options.load()
    watchers = Watchers(loaded, folder, options.point, options.address)
    facts = {
        "name": loaded.experiment.name,
        "point": options.point,
        "experiment": loaded.experiment.model_dump(mode="json"),
        "base": str(loaded.base),
        "store": folder.store_for_manifest(),
        "organizations": list(loaded.experiment.organizations),
        "shared_actors": loaded.experiment.shares_actors,
        "packages": source_versions(loaded.experiment),
        "command": options.recorded(),
        **provenance(),
    }
    with folder.locked(), ExitStack() as watching:
        changed = None if options.overwrite else check_settings(folder, loaded)
        store, references = Store(folder.store), References(folder.store)
        with suppress(InputError), references.alone():
            store.sweep()
        with references.at_work():
            here = folder.is_finished() and not loaded.experiment.pinned
            nothing_to_do = here and not any(plan_run_alone(loaded, store).pending.values())
            if options.overwrite:
                folder.progress.unlink(missing_ok=True)
            observer = watching.enter_context(watchers.join(observer, new_work=not nothing_to_do))

            def begin(run_plan: RunPlan) -> None:
                """Writes the manifest, when all is known to be right and nothing has been trained."""
                content = content_of_setup(run_plan.setup)
                if changed is None:
                    folder.clear()
                else:
                    check_content(folder, content, changed)
                stages = list(run_plan.plan.unique_stages())
                declared = loaded.experiment.findings.hash
                facts.update(hash=experiment_hash(loaded, content), content=content, stages=stages, findings=declared)
                folder.write_manifest(**facts, finished=None)

            # What is all in the store is looked up in this process: there is no need for actors, nor for Ray.
            backend = InlineBackend() if nothing_to_do else opener(loaded, options.address, observer.note)
            begun_s = time.monotonic()
            try:
                timing = run_coroutine(_run(loaded, folder, store, references, backend, observer, begin))
            finally:
                backend.close()
        folder.write_manifest(**facts, finished=now())
        observer.phase("Writing the report")
        write_report(folder.path)
    if timing and (backend.embedded or isinstance(backend, InlineBackend)):
        start = {} if options.point else {"start": before_s + begun_s - started_s}  # Ray starts once for all points
        report_s = time.monotonic() - begun_s - sum(timing.phases.values())
        note_timing(timing.model_copy(update={"phases": {**start, **timing.phases, "report": report_s}}))
    return RunOutcome(folder, observer.counts(), time.monotonic() - started_s)


async def _run(
    loaded: LoadedExperiment,
    folder: RunFolder,
    store: Store,
    references: References,
    backend: Backend,
    observer: RunObserver,
    begin: Callable[[RunPlan], None],
) -> Timing | None:
    """All of a run but its report; what it took to prepare and to work, if there was anything to do."""
    store_settings = loaded.experiment.store
    observer.phase("Preparing the corpora")
    begun_s = time.monotonic()
    pool = open_actor_pool(loaded, backend, observer.note)
    secret = folder.read_secret()
    run_plan = await plan_run(loaded, pool, store, secret)
    begin(run_plan)
    setup, planned = run_plan.setup, run_plan.plan
    observer.expect(run_plan.pending, planned.work())
    attendance = participation_rows(setup.strategy_runs)
    for caution in (*cautions(loaded, setup.client_stats), *planned.bounds, *planned.stops, *absentees(attendance)):
        observer.note(caution)
    recipes = {**planned.recipes, **{key: one.recipe for key, one in run_plan.evaluations.items()}}
    # Snapshots of stages are models, too, and have no recipe in the plan.
    models = {*planned.recipes, *(parent for recipe in recipes.values() for parent in parents_of(recipe))}
    references.write(folder.path, {*recipes, *models, *setup.used}, models)
    client = next(iter(setup.client_stats))
    if any(run_plan.pending.values()):
        spec = setup.strategy_runs[0].context.spec
        await pool.call(client, "run", try_model, spec, generates(loaded, run_plan), clips(planned))
    if run_plan.pending["train"]:
        # Not refused: an estimate that errs on the large side would forbid what works.
        where = machine_of(loaded, backend)
        devices = pool.gpu_slots.count if pool.gpu_slots else None
        load = memory_load(loaded, run_plan, pool.slots.count, devices, isinstance(backend, InlineBackend))
        for warning in (await pool.call(client, "run", foresee, load, where))["warnings"]:
            observer.note(warning)
    reported = measured_models(planned, run_plan.evaluations)
    retention = Retention(
        store_settings.keep,
        recipes,
        planned.leaves,
        lambda: references.arrays_of_others(folder.path),
        models=reported,
        write=store_settings.write,
    )
    prepared_s = time.monotonic()
    with os_errors(begun=True):
        done = await execute(loaded, run_plan, pool, store, retention, folder.stages, secret, observer)
    phases = {"preparation": prepared_s - begun_s, "work": time.monotonic() - prepared_s}

    observer.phase("Writing the tables")
    initial = {i.context.seed: (await done.trainer.initial(i.context)).info for i in setup.strategy_runs}
    write_rows(folder, "models", model_rows(done.evaluator.reached, initial))
    write_rows(folder, "update_norms", [row for one in done.trainer.rounds for row in one.rows()])
    write_rows(folder, "update_sizes", [row for one in done.trainer.rounds for row in one.size_rows()])
    ended = done.validated.ended()
    write_rows(folder, "privacy", list(privacy_rows(setup.strategy_runs, ended)))
    write_rows(folder, "participation", participation_rows(setup.strategy_runs, ended))
    write_rows(folder, "validations", list(done.validated.rows()))
    corpora, drops = corpora_rows(setup.client_stats.values(), setup.reference_drops)
    write_rows(folder, "corpora", corpora)
    write_rows(folder, "drops", drops)
    write_rows(folder, "file_licences", licence_rows(setup.client_stats.values()))
    write_rows(folder, "redactions", redaction_rows(setup.client_stats.values()))
    write_rows(folder, "obfuscations", obfuscation_rows(setup.client_stats.values()))
    for measure in measures().values():
        for spec in measure.tables:
            write_joined(folder, spec, done.evaluator.tables.get(spec.name, []))
    used = {*done.executor.used, *setup.used}
    entries = [entry for key in sorted(used) if (entry := store.peek(key))]
    before = [{**transfer.to_json(), "work": "preparation"} for transfer in setup.transfers]
    write_rows(folder, "ledger", before + ledger_rows(entries, store))
    references.write(folder.path, used, retention.kept(used))
    if not any(run_plan.pending.values()):
        return None
    parameters = await pool.call(client, "run", _parameters_of, setup.strategy_runs[0].context.spec)
    kinds: Counter[str] = Counter()
    for row in read_log(folder.stages):
        mine = row.get("session") == done.executor.session and row["status"] == "computed"
        if mine and row["kind"] in run_plan.pieces:
            kinds[row["kind"]] += row["seconds"]
    ahead = workload(loaded, run_plan, pool.slots.count, parameters)
    return Timing(machine=machine_name(), workload=ahead, phases=phases, kinds=dict(kinds))


def _age_of_process() -> float:
    """Seconds since this process began, which a command spends on imports."""
    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())


def _parameters_of(client: ModelHost, spec: ModelSpec) -> Parameters:
    """Counts at a client, where torch is loaded anyway."""
    del client
    return spec.count_parameters()
