"""What a run would do, found out by the code that does it: parties assembled, strategies planned, nothing trained."""

import asyncio
from dataclasses import dataclass

from raysim.assembly import Assembly, assemble, check_agreements
from raysim.experiment import LoadedExperiment
from raysim.measuring.foreseen import Measuring, measuring, pending_tokens
from raysim.recipe import Key
from raysim.simulation.backends import InlineBackend
from raysim.simulation.crew import Crew
from raysim.simulation.planner import Plan, plan
from raysim.simulation.retrying import Retrying, RetryPolicy
from raysim.simulation.slots import Slots
from raysim.simulation.store import Store


@dataclass(frozen=True)
class Outlook:
    """What is ahead.

    Attributes:
        assembly: the parties.
        plan: stages, aggregations and models.
        measures: work on those models, by key.
        pending: tokens of each kind of work that the store does not have.
    """

    assembly: Assembly
    plan: Plan
    measures: dict[Key, Measuring]
    pending: dict[str, int]


async def look_ahead(loaded: LoadedExperiment, crew: Crew, store: Store) -> Outlook:
    """Assembles the parties in `crew` and plans.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    assembly = await assemble(loaded, crew, store)
    planned = await plan(assembly.instances)
    check_agreements(loaded, planned)
    measures = measuring(loaded, assembly, planned)
    return Outlook(assembly, planned, measures, pending_tokens(planned, measures, store))


def look_ahead_here(loaded: LoadedExperiment, store: Store) -> Outlook:
    """As `look_ahead`, in this process: no actors."""
    return asyncio.run(look_ahead(loaded, crew_of_one(), store))


def crew_of_one() -> Crew:
    """Everything in this process, one thing after the other: for looking at what is there."""
    backend = InlineBackend()
    return Crew(backend, Slots(1), Retrying(RetryPolicy(0), lambda _: None, backend.settle))
