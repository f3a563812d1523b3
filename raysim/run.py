"""Composes the parts: what `raysim inspect`, `plan`, `run` and `report` do."""

import asyncio
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raysim.assembly import Assembly, assemble, check_agreements
from raysim.errors import RunError
from raysim.estimate import estimate, matmul_rate
from raysim.experiment import LoadedExperiment, load_experiment
from raysim.folder import RunFolder, now, provenance
from raysim.measure import Measurer, pending_work, token_counts
from raysim.progress import ConsoleObserver
from raysim.recipe import Key
from raysim.results import corpora_rows, model_rows, write_joined, write_rows
from raysim.simulation.backends import Backend, InlineBackend, RayBackend
from raysim.simulation.ledger import ledger_rows
from raysim.simulation.loop import simulate
from raysim.simulation.planner import Plan, plan
from raysim.simulation.runner import ReachedModel, Runner
from raysim.simulation.slots import Slots
from raysim.simulation.stagelog import StageLog
from raysim.simulation.store import Store
from raysim.simulation.workshop import Workshop


@dataclass(frozen=True)
class Options:
    """What the command line says beside the experiment.

    Attributes:
        experiment: the YAML file.
        out: run folder; None: ``runs/NAME``.
        store: folder of the store; None: inside the run folder.
        overrides: ``a.b=c`` assignments.
        address: of a Ray cluster; None: a Ray of our own.
        command: as it was typed, for the manifest.
        point: which point of a sweep this is, for the manifest; empty: none.
    """

    experiment: Path
    out: Path | None = None
    store: Path | None = None
    overrides: tuple[str, ...] = ()
    address: str | None = None
    command: str = ""
    point: str = ""

    def load(self) -> tuple[LoadedExperiment, RunFolder]:
        """The validated experiment and its run folder.

        Raises:
            InputError: whatever is wrong with the experiment.
        """
        loaded = load_experiment(self.experiment, list(self.overrides))
        return loaded, RunFolder(self.out or Path("runs") / loaded.experiment.name, self.store)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its folder, the work by kind and status, seconds."""

    folder: RunFolder
    counts: dict[str, int]
    seconds: float


Opener = Callable[[LoadedExperiment, str | None], Backend]
"""Opens the backend that an experiment asks for, at an address or, without one, here."""


def run(options: Options, observer: ConsoleObserver, opener: Opener | None = None) -> Outcome:
    """Runs an experiment to its end, from wherever an earlier run of it stopped.

    Args:
        options: of the command line.
        observer: is told what happens.
        opener: of the backend, which is closed when the run ends; `open_backend` if it is left out.

    Raises:
        InputError: something is wrong with the experiment; nothing was trained.
        RunError: the run could not go on; the same command resumes.
    """
    started_s = time.monotonic()
    loaded, folder = options.load()
    facts = {
        "name": loaded.experiment.name,
        "point": options.point,
        "experiment": loaded.experiment.model_dump(mode="json"),
        "organizations": list(loaded.experiment.organizations),
        "command": options.command,
        "created": now(),
        **provenance(),
    }
    with folder.locked():
        store = Store(folder.store)
        nothing_to_do = folder.is_finished() and not any(look_ahead(loaded, store).work.values())
        folder.write_manifest(**facts, finished=None)
        # What is all in the store is looked up in this process: there is no need for actors, nor for Ray.
        backend = InlineBackend() if nothing_to_do else (opener or open_backend)(loaded, options.address)
        try:
            asyncio.run(_run(loaded, folder, store, backend, observer))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            backend.close()
        folder.write_manifest(**facts, finished=now())
        observer.phase("Writing the report")
        from raysim.report.html import write_report  # imports plotly and scipy

        write_report(folder.path)
    return Outcome(folder, observer.counts(), time.monotonic() - started_s)


@dataclass(frozen=True)
class Outlook:
    """What a run would do, found out in this process: no actors, no training.

    Attributes:
        assembly: its parties.
        plan: its stages and models.
        work: that the store does not have yet; see `pending_work`.
    """

    assembly: Assembly
    plan: Plan
    work: dict[str, dict[Key, int]]


def look_ahead(loaded: LoadedExperiment, store: Store) -> Outlook:
    """Prepares and plans a run, and raises whatever it would raise before its first stage.

    Raises:
        InputError: whatever is wrong with the experiment.
    """

    async def look() -> Outlook:
        assembly = await assemble(loaded, InlineBackend(), store)
        planned = await plan(assembly.instances)
        check_agreements(loaded, planned)
        return Outlook(assembly, planned, pending_work(loaded, assembly, planned, store))

    return asyncio.run(look())


async def _run(
    loaded: LoadedExperiment, folder: RunFolder, store: Store, backend: Backend, observer: ConsoleObserver
) -> None:
    experiment = loaded.experiment
    task = asyncio.current_task()
    assert task is not None, "it runs in one"
    # A scheduler's SIGTERM ends a run as a Ctrl-C does.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    observer.phase("Preparing the corpora")
    assembly = await assemble(loaded, backend, store)
    planned = await plan(assembly.instances)
    check_agreements(loaded, planned)
    observer.expect(token_counts(pending_work(loaded, assembly, planned, store)))

    slots = slot_count(loaded, backend)
    session = uuid.uuid4().hex[:8]
    log = StageLog(folder.stages)
    workshop = Workshop(store, backend, assembly.organizations, Slots(slots), log, session, observer)
    measurer = Measurer(loaded, assembly, workshop, slots, folder.path / ".secret")
    reached: list[ReachedModel] = []
    scoring: list[asyncio.Future[Any]] = []

    def on_model(model: ReachedModel) -> None:
        reached.append(model)
        score = asyncio.ensure_future(measurer.score(model))
        score.add_done_callback(lambda s: s.cancelled() or s.exception())  # awaited when training has ended
        scoring.append(score)

    runner = Runner(
        workshop,
        planned.remaining_tokens(),
        experiment.execution.checkpoint_every_s,
        measurer.wants_epochs,
        on_model,
    )
    observer.phase("Training")
    await _all(simulate(instance, runner) for instance in assembly.instances)
    await _all(scoring)
    if experiment.measure.memorization:
        observer.phase("Probing for memorization")
        await measurer.probe(reached)

    observer.phase("Writing the tables")
    initial = {i.world.seed: (await runner.initial(i.world)).info for i in assembly.instances}
    write_rows(folder, "models", model_rows(reached, initial))
    corpora, drops = corpora_rows(assembly.inventories.values())
    write_rows(folder, "corpora", corpora)
    write_rows(folder, "drops", drops)
    for name, tables in measurer.tables.items():
        write_joined(folder, name, tables)
    entries = [entry for key in sorted(workshop.used) if (entry := store.peek(key))]
    before = [{**crossing.to_json(), "work": "preparation"} for crossing in assembly.crossings]
    write_rows(folder, "ledger", before + ledger_rows(entries, store))


async def _all(awaitables: Any) -> None:
    """Waits for all; the first failure stops the rest and is raised."""
    tasks = [asyncio.ensure_future(a) for a in awaitables]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def plan_experiment(options: Options) -> dict[str, Any]:
    """What a run would do: stages by setting, and what they cost.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    loaded, folder = options.load()
    with scratch_store(folder) as store:
        outlook = look_ahead(loaded, store)
        summary = outlook.plan.summary(store.has)
    return {"name": loaded.experiment.name, "strategies": summary, **costs(loaded, outlook, set())}


def costs(loaded: LoadedExperiment, outlook: Outlook, known: set[Key]) -> dict[str, Any]:
    """What the work of a run costs that is not yet in `known`; adds its keys there."""
    trainer = loaded.experiment.trainer
    planned = outlook.plan
    stages = {key: stage for key, stage in planned.unique_stages().items() if key not in known}
    starts = {instance.world.initial_key() for instance in outlook.assembly.instances} - known
    aggregations = set(planned.aggregations) - known
    work = {kind: {key: n for key, n in pieces.items() if key not in known} for kind, pieces in outlook.work.items()}
    slots = slot_count(loaded, InlineBackend())
    found = estimate(
        planned,
        parameter_count(outlook.assembly.instances[0].world),
        token_counts(work),
        matmul_rate(trainer.precision, trainer.threads),
        slots,
        {
            "weights": len(stages) + len(aggregations) + len(starts),
            "client_states": sum(stage.assignment.keep_state for stage in stages.values()),
        },
    )
    known |= stages.keys() | aggregations | starts | {key for pieces in work.values() for key in pieces}
    return {**found, "slots": slots}


def parameter_count(world: Any) -> int:
    """Parameters of a world's model, built without memory for its weights."""
    import torch

    from raysim.training.models import build_model
    from raysim.training.weights import layout_of

    spec = world.spec
    if spec.settings.pretrained is not None:
        return layout_of(build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context)).num_parameters
    with torch.device("meta"):
        return layout_of(build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context)).num_parameters


def inspect_experiment(options: Options) -> dict[str, Any]:
    """What every organization keeps and drops, prepared without any training; of a sweep, under its base values.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    loaded, folder = options.load()
    with scratch_store(folder) as store:
        assembly = asyncio.run(assemble(loaded, InlineBackend(), store))
    return {
        "name": loaded.experiment.name,
        "sweep": loaded.experiment.sweep,
        "organizations": {name: asdict(inventory) for name, inventory in assembly.inventories.items()},
        "references": {"files": len(assembly.references), "bytes": sum(f.num_bytes for f in assembly.references)},
    }


@contextmanager
def scratch_store(folder: RunFolder) -> Iterator[Store]:
    """The run's store if it is there, else one that goes when the block ends: looking makes no folders."""
    if folder.store.is_dir():
        yield Store(folder.store)
        return
    with tempfile.TemporaryDirectory(prefix="raysim-") as scratch:
        yield Store(Path(scratch))


def open_backend(loaded: LoadedExperiment, address: str | None) -> Backend:
    """The backend that an experiment asks for; an address always means Ray.

    Raises:
        InputError: no cluster answers at the address.
    """
    if address is None and loaded.experiment.execution.backend == "inline":
        return InlineBackend()
    return RayBackend(address, None)


def slot_count(loaded: LoadedExperiment, backend: Backend) -> int:
    """Organizations at work at once."""
    execution, threads = loaded.experiment.execution, loaded.experiment.trainer.threads
    if isinstance(backend, RayBackend) and execution.slots and execution.slots * threads > backend.cpus():
        raise RunError(
            f"execution.slots: {execution.slots} organizations of {threads} threads at once need more than the"
            f" {backend.cpus()} CPUs of this Ray cluster; lower it"
        )
    if execution.slots:
        return execution.slots
    cpus = backend.cpus() if isinstance(backend, RayBackend) else os.cpu_count() or 1
    return max(1, cpus // threads)
