"""What a run would do, found out by the code that does it: parties assembled, strategies planned, nothing trained."""

import asyncio
from dataclasses import dataclass

from raysim.cluster.actor_pool import Crew
from raysim.cluster.backend import InlineBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Slots
from raysim.core.keys import Key
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.estimate.memory import Asking, Load
from raysim.experiment.setup import Assembly, assemble, check_agreements
from raysim.measures.evaluation_plan import Measuring, measuring, pending_tokens
from raysim.measures.recipes import numerics
from raysim.simulation.planner import Plan, plan
from raysim.store.store import Store
from raysim.tasks.executor import SHARED_WEIGHTS

_PROBLEM_TOKENS = 512
"""Longest problem of pass@k that is reckoned with; HumanEval's longest have about so many."""


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


async def look_ahead(loaded: LoadedExperiment, crew: Crew, store: Store, secret: bytes | None = None) -> Outlook:
    """Assembles the parties in `crew` and plans; `secret` is as for `assemble`.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    assembly = await assemble(loaded, crew, store, secret)
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


def memory_load(loaded: LoadedExperiment, outlook: Outlook, slots: int, devices: int | None, one_process: bool) -> Load:
    """What the work ahead has to hold in memory.

    Args:
        loaded: the experiment.
        outlook: what is ahead.
        slots: processes at work at once.
        devices: ranks that the GPUs have room for at once; None: training is not on GPUs.
        one_process: whether all parties live in one.
    """
    experiment, assembly = loaded.experiment, outlook.assembly
    world = assembly.instances[0].world
    askings = []
    if settings := experiment.measure.memorization:
        counts = dict(settings.prompts)
        longest = settings.prefix_tokens if counts["prefix"] else 0
        if any(count for kind, count in counts.items() if kind != "prefix"):
            # A function prompt leaves room for the whole continuation.
            longest = max(longest, min(settings.function_tokens, world.spec.context - settings.new_tokens))
        if longest > 0:
            section, count = "measure.memorization", sum(counts.values())
            askings.append(Asking(section, settings, numerics(world, settings), count, longest))
    if settings := experiment.measure.pass_at_k:
        longest = max(1, min(_PROBLEM_TOKENS, world.spec.context - settings.new_tokens))
        count = settings.batch_size  # as many problems as fill a batch
        askings.append(Asking("measure.pass_at_k", settings, numerics(world, settings), count, longest))
    pools = any(len(stage.assignment.organizations) > 1 for stage in outlook.plan.stages)
    return Load(
        spec=world.spec,
        trainer=experiment.trainer,
        askings=tuple(askings),
        slots=slots,
        parties=len(assembly.inventories) + pools,
        shared=min(SHARED_WEIGHTS, len({model.milestone.model for model in outlook.plan.models})),
        devices=devices,
        one_process=one_process,
    )
