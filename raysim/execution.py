"""Where an experiment is executed: the backend that it asks for, and how much is done at once."""

import os
from collections.abc import Callable

from raysim.errors import RunError
from raysim.experiment import LoadedExperiment
from raysim.simulation.backends import Backend, InlineBackend, RayBackend
from raysim.simulation.crew import Crew
from raysim.simulation.retrying import Retrying, RetryPolicy
from raysim.simulation.slots import Slots


def open_backend(loaded: LoadedExperiment, address: str | None) -> Backend:
    """The backend that an experiment asks for; an address always means Ray.

    Raises:
        InputError: no cluster answers at the address.
    """
    if address is None and loaded.experiment.execution.backend == "inline":
        return InlineBackend()
    return RayBackend(address, None)


def open_crew(loaded: LoadedExperiment, backend: Backend, note: Callable[[str], None]) -> Crew:
    """The crew of an experiment, with nobody in it yet."""
    execution, slots = loaded.experiment.execution, slot_count(loaded, backend)
    # In one process nothing is gained by a second party of the same site.
    replicas = 1 if isinstance(backend, InlineBackend) else execution.replicas or slots
    return Crew(backend, Slots(slots, replicas), Retrying(RetryPolicy(execution.retries), note, backend.settle))


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
