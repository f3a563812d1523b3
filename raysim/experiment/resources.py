"""Where an experiment is executed: the backend that it asks for, and how much is done at once."""

from collections.abc import Callable
from dataclasses import replace

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import Backend, InlineBackend
from raysim.cluster.connect import cluster_address
from raysim.cluster.labels import ANYWHERE, Labels, shown
from raysim.cluster.ray_backend import RayBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.core.errors import InputError, RunError
from raysim.core.extensions import Extension, foreign, needed
from raysim.corpus.installed_sources import SOURCES
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.estimate.memory import Machine, this_machine
from raysim.experiment.execution_settings import ExecutionSettings
from raysim.measures.registry import GROUP as MEASURES
from raysim.simulation.registry import GROUP as STRATEGIES
from raysim.simulation.registry import name_and_settings
from raysim.training.flower_app import top_module
from raysim.training.request import ENGINES, TrainerSettings, shares_of

Note = Callable[[str], None]
"""Receives a line for a person."""

Opener = Callable[[LoadedExperiment, str | None, Note], Backend]
"""Opens the backend that an experiment asks for, at an address or, without one, here; see `open_backend`."""

_PATIENCE_S = 5.0
"""Measured in this project: what an actor takes to import torch and transformers on a machine whose CPUs are busy."""


def check_address(execution: ExecutionSettings, address: str | None) -> None:
    """Refuses an address that no backend could be opened at.

    Raises:
        InputError: it is none of a cluster's.
    """
    if address or execution.backend != "inline":
        cluster_address(address)


def nobody(_: str) -> None:
    """Reads no notes."""


def open_backend(
    loaded: LoadedExperiment, address: str | None, note: Note = nobody, within: RayBackend | None = None
) -> Backend:
    """The backend that an experiment asks for; an address that is given always means Ray.

    Args:
        loaded: the experiment.
        address: of a Ray cluster.
        note: receives a line for a person while nodes are waited for.
        within: a backend that is open for longer, as that of a sweep; see `RayBackend`.

    Raises:
        InputError: no cluster answers at the address, an organization's node is not there, or there is no room for the
            ranks of a stage.
        RunError: nodes that an autoscaler was asked for did not come.
    """
    experiment = loaded.experiment
    trainer, pinned = experiment.trainer, experiment.pinned
    if address is None and experiment.execution.backend == "inline":
        for name, node in pinned.items():
            raise InputError(
                f"organizations.{name}.node: pins it to a node with the labels {shown(node)}, and execution.backend:"
                " inline has none; name a cluster by --address, or leave node out"
            )
        if trainer.ranks > 1:
            raise InputError(
                f"trainer.ranks: {trainer.ranks} ranks need processes of their own, and execution.backend: inline has"
                " one; write execution.backend: ray, or trainer.ranks: 1"
            )
        return InlineBackend()
    backend = RayBackend(address, None, within)
    try:
        execution = experiment.execution
        if execution.slots and execution.scale_up_s and not backend.embedded:
            backend.scale_up(trainer, execution.slots, [*pinned.values()], execution.scale_up_s, note)
        backend.require(_extensions(loaded))
        backend.require_nodes(pinned)
        for node in [*pinned.values(), *([] if len(pinned) == len(experiment.organizations) else [ANYWHERE])]:
            _require_room(backend, trainer, node)
    except BaseException:
        backend.close()
        raise
    return backend


def _require_room(backend: RayBackend, trainer: TrainerSettings, node: Labels) -> None:
    room = backend.room(trainer, node)
    if room < trainer.ranks and (trainer.ranks > 1 or trainer.device == "cuda"):
        needs = f"{trainer.threads} CPUs" + _gpu_of(trainer)
        where = f"with the labels {shown(node)}" if node else "of this cluster"
        raise InputError(
            f"trainer.ranks: a stage of {trainer.ranks} ranks that need {needs} each (trainer.threads,"
            f" trainer.device) could never start: the nodes {where} hold {room}; lower one of them"
        )


def _extensions(loaded: LoadedExperiment) -> list[Extension]:
    """What other packages bring to an experiment."""
    experiment = loaded.experiment
    sources = [owner.source for owner in experiment.organizations.values()]
    sources += [reference for reference in experiment.references if reference != "stdlib"]
    return [
        *(one for config in loaded.settings for one in needed(f"strategy {config.label}", config.settings.packages())),
        *foreign(STRATEGIES, (name_and_settings(entry, "")[0] for entry in experiment.strategies), "strategy"),
        *foreign(MEASURES, (measure.name for measure in loaded.measures), "measure"),
        *foreign(ENGINES, [experiment.trainer.backend], "backend"),
        *needed("trainer.app", [top_module(experiment.trainer.app), "flwr"] if experiment.trainer.app else []),
        *foreign(SOURCES, (name for source in sources for name in source.other or ()), "source"),
    ]


def open_actor_pool(loaded: LoadedExperiment, backend: Backend, note: Note) -> ActorPool:
    """The actor pool of an experiment, still empty."""
    execution, slots = loaded.experiment.execution, slot_count(loaded, backend)
    # In one process nothing is gained by a second actor of the same client.
    replicas = 1 if isinstance(backend, InlineBackend) else execution.replicas or _replicas(loaded, backend, slots)
    retrying = Retrying(RetryPolicy(execution.retries), note, backend.await_failure_detection)
    trainer, gpu_slots = loaded.experiment.trainer, None
    if trainer.device == "cuda" and isinstance(backend, RayBackend):
        room = backend.room(trainer)
        gpu_slots = Scheduler(room, room)
    patience_s = _PATIENCE_S if backend.embedded else 0.0
    return ActorPool(backend, Scheduler(slots, replicas, patience_s), retrying, gpu_slots)


def _replicas(loaded: LoadedExperiment, backend: Backend, slots: int) -> int:
    """Actors of one organization where nothing is said of it: those of a pinned one share the CPUs of its nodes."""
    experiment = loaded.experiment
    room = [backend.cpus(node) // experiment.trainer.threads for node in experiment.pinned.values()]
    return max(experiment.trainer.ranks, min([slots, *room]))


def _gpu_of(trainer: TrainerSettings) -> str:
    if trainer.device != "cuda":
        return ""
    return " and a GPU" if trainer.gpus == 1 else f" and {trainer.gpus:g} of a GPU"


def turns_here(trainer: TrainerSettings) -> int | None:
    """Ranks that the GPUs of this machine have room for at once; None: training is not on GPUs, or there is none."""
    if trainer.device != "cuda":
        return None
    import torch

    return (torch.cuda.device_count() * shares_of(trainer.gpus)) or None


def machine_of(loaded: LoadedExperiment, backend: Backend) -> Machine:
    """The machine that an experiment runs on: of a cluster, its smallest node."""
    here = this_machine(loaded.experiment.trainer.device)
    if not isinstance(backend, RayBackend):
        return here
    nodes = backend.nodes_bytes()
    return here if len(nodes) < 2 else replace(here, memory_bytes=min(nodes), nodes=len(nodes))


def slot_count(loaded: LoadedExperiment, backend: Backend) -> int:
    """Ranks at work at once: organizations, where each trains with one."""
    execution, threads = loaded.experiment.execution, loaded.experiment.trainer.threads
    scarce = isinstance(backend, RayBackend) and execution.slots and execution.slots * threads > backend.cpus()
    if scarce and not execution.scale_up_s:
        raise RunError(
            f"execution.slots: {execution.slots} organizations of {threads} threads at once need more than the"
            f" {backend.cpus()} CPUs of this Ray cluster; lower it, or, where an autoscaler brings more, write how long"
            " to wait for them (execution.scale_up_s)"
        )
    if execution.slots and not scarce:
        if execution.slots < (ranks := loaded.experiment.trainer.ranks):
            raise InputError(
                f"execution.slots: a stage takes a slot for each of its {ranks} ranks (trainer.ranks), and there are"
                f" {execution.slots}; raise it"
            )
        return execution.slots
    return max(loaded.experiment.trainer.ranks, backend.cpus() // threads)
