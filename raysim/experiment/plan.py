"""What a run would do, found out by the code that does it: set up and planned, nothing trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import InlineBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.core.event_loop import run_coroutine
from raysim.core.keys import Key, canonical_json
from raysim.corpus.selection import was_read
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.estimate.memory import Load
from raysim.experiment.estimate.timings import Workload
from raysim.experiment.resources import Opener, nobody, open_actor_pool, open_backend
from raysim.experiment.setup import Setup, check_agreements, eval_context, set_up
from raysim.measures.base import PlannedEvaluation
from raysim.measures.evaluation_plan import pending_work, plan_evaluation
from raysim.measures.validation import known_losses, validation_tasks
from raysim.simulation.planner import Plan, plan
from raysim.store.store import Store
from raysim.tasks.executor import SHARED_WEIGHTS
from raysim.training.dp_sgd import DP_SGD, check_gradients
from raysim.training.libraries import load_transformers
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import ModelSettings, Parameters

_LARGE = 10**9
"""Parameters from which a plan does not build a model: memory may be elsewhere. A run tries it before it trains."""


@dataclass(frozen=True)
class RunPlan:
    """What is ahead.

    Attributes:
        setup: references, tokenizer, organizations.
        plan: stages, aggregations and models.
        evaluations: work on those models, by key.
        pending: tokens of each kind of work that the store does not have.
        pieces: how many pieces of work these are.
    """

    setup: Setup
    plan: Plan
    evaluations: dict[Key, PlannedEvaluation]
    pending: dict[str, int]
    pieces: dict[str, int]


async def plan_run(loaded: LoadedExperiment, pool: ActorPool, store: Store, secret: bytes | None = None) -> RunPlan:
    """Sets the experiment up in `pool` and plans; `secret` is as for `set_up`.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    setup = await set_up(loaded, pool, store, secret)
    validation = validation_tasks(loaded.measures)
    planned = await plan(setup.strategy_runs, known_losses(validation, store))
    check_agreements(loaded, planned)
    evaluation = eval_context(loaded, setup)
    for measure in loaded.measures:
        measure.prepare(evaluation)
        measure.try_out(evaluation, store)
    evaluations = plan_evaluation(loaded.measures, evaluation, planned)
    for model in planned.validations:
        for task in validation(model.strategy_run, model.checkpoint.model):
            evaluations[task.key] = PlannedEvaluation(task.recipe, task.tokens)
    return RunPlan(setup, planned, evaluations, *pending_work(planned, evaluations, store))


def plan_run_alone(
    loaded: LoadedExperiment, store: Store, address: str | None = None, opener: Opener = open_backend
) -> RunPlan:
    """As `plan_run`, in a pool of its own: see `looking_pool`."""
    with looking_pool(loaded, address, opener) as pool:
        return run_coroutine(plan_run(loaded, pool, store))


@contextmanager
def looking_pool(
    loaded: LoadedExperiment, address: str | None = None, opener: Opener = open_backend
) -> Iterator[ActorPool]:
    """A pool for looking at what is there: in this process, or on the nodes that alone have an organization's files.

    Args:
        loaded: the experiment.
        address: of a Ray cluster; None: one is joined only where organizations are pinned to nodes.
        opener: of its backend.

    Raises:
        InputError: see `open_backend`.
    """
    if address is None and not loaded.experiment.pinned:
        yield inline_pool()
        return
    settings = loaded.experiment
    execution = settings.execution.model_copy(update={"scale_up_s": 0.0})  # whoever looks has no nodes started
    loaded = replace(loaded, experiment=settings.model_copy(update={"execution": execution}))
    backend = opener(loaded, address, nobody)
    try:
        yield open_actor_pool(loaded, backend, nobody)
    finally:
        backend.close()


def inline_pool() -> ActorPool:
    """Everything in this process, one thing after the other: for looking at what is there."""
    backend = InlineBackend()
    return ActorPool(backend, Scheduler(1), Retrying(RetryPolicy(0), nobody, backend.await_failure_detection))


def try_model(client: ModelHost, spec: ModelSpec, generates: bool, clips: bool = False) -> None:
    """A client function that builds the model and sees whether it does what all work counts on.

    Args:
        client: builds it.
        spec: of the model.
        generates: whether it will be asked for text.
        clips: whether gradients of its single sequences will be clipped.

    Raises:
        InputError: it cannot be built, sees tokens that it is to predict, does not generate what it computes, or has no
            gradients of single sequences.
    """
    load_transformers()
    from raysim.inference.model_checks import check_model

    check_model(client.model(spec), generates)
    if clips:
        check_gradients(client.model(spec))


def generates(loaded: LoadedExperiment, run_plan: RunPlan) -> bool:
    """Whether any measure has models write text."""
    evaluation = eval_context(loaded, run_plan.setup)
    return any(measure.generation_load(evaluation) for measure in loaded.measures)


def clips(planned: Plan) -> bool:
    """Whether any stage clips the gradients of single sequences."""
    return any(
        objective and objective.name == DP_SGD for o in planned.stages for objective in [o.instruction.objective]
    )


def tried_parameters(loaded: LoadedExperiment, run_plan: RunPlan) -> Parameters:
    """Parameters of the model, which is tried here unless it is large.

    Raises:
        InputError: see `try_model`.
    """
    context = run_plan.setup.strategy_runs[0].context
    spec, recipe = context.spec, canonical_json(context.model_recipe)
    settings = spec.settings.model_dump_json()
    return _tried(
        recipe, settings, spec.vocab_size, spec.bos_id, spec.context, generates(loaded, run_plan), clips(run_plan.plan)
    )


@lru_cache(maxsize=64)
def _tried(
    recipe: str, settings: str, vocab_size: int, bos_id: int, context: int, generates: bool, clips: bool
) -> Parameters:
    """Points of a sweep seldom differ in their model; `recipe` stands for its content."""
    spec = ModelSpec(ModelSettings.model_validate_json(settings), vocab_size, bos_id, context)
    counted = spec.count_parameters()
    if counted.total < _LARGE:
        try_model(ModelHost("plan"), spec, generates, clips)
    return counted


def workload(loaded: LoadedExperiment, run_plan: RunPlan, slots: int, parameters: Parameters) -> Workload:
    """What is ahead, as far as it decides how long it takes.

    Args:
        loaded: the experiment.
        run_plan: what is ahead.
        slots: pieces of work at once.
        parameters: of the model.
    """
    experiment, setup, planned = loaded.experiment, run_plan.setup, run_plan.plan
    trainer, backend = experiment.trainer, experiment.execution.backend
    kept = [row for stats in setup.client_stats.values() for row in stats.splits.values()]
    dropped = [row for stats in setup.client_stats.values() for row in stats.drops if was_read(row["reason"])]
    return Workload(
        backend=backend,
        engine=f"{trainer.backend}, {trainer.device}, {trainer.precision}, {trainer.threads} x {trainer.ranks}",
        slots=1 if backend == "inline" else slots,
        parameters=parameters.total,
        trained=parameters.trained,
        organizations=len(setup.client_stats),
        source_bytes=sum(file.num_bytes for file in setup.references) + sum(row["bytes"] for row in (*kept, *dropped)),
        tokenizer_bytes=setup.tokenizer_bytes,
        models=len({model.checkpoint.model for model in planned.models}),
        pieces=run_plan.pieces,
        tokens=run_plan.pending,
        longest=min(_longest(run_plan), run_plan.pending["train"]),
    )


def _longest(run_plan: RunPlan) -> int:
    """Training tokens that must follow one another: those of the base, then those of the longest setting."""
    base = run_plan.setup.strategy_runs[0].context.pretraining
    after = (urgency for (run, _), urgency in run_plan.plan.urgency().items() if run.strategy.family != "base")
    return (base.tokens if base else 0) + int(max(after, default=0))


def memory_load(
    loaded: LoadedExperiment, run_plan: RunPlan, slots: int, devices: int | None, one_process: bool
) -> Load:
    """What the work ahead has to hold in memory.

    Args:
        loaded: the experiment.
        run_plan: what is ahead.
        slots: processes at work at once.
        devices: ranks that the GPUs have room for at once; None: training is not on GPUs.
        one_process: whether all actors live in one.
    """
    experiment, setup = loaded.experiment, run_plan.setup
    context = setup.strategy_runs[0].context
    evaluation = eval_context(loaded, setup)
    loads = [load for measure in loaded.measures if (load := measure.generation_load(evaluation))]
    organizations = len(setup.client_stats)
    pools = any(len(stage.instruction.organizations) > 1 for stage in run_plan.plan.stages)
    return Load(
        spec=context.spec,
        trainer=experiment.trainer,
        generation_loads=tuple(loads),
        slots=slots,
        actors=(min(slots, organizations) if experiment.shares_actors else organizations) + pools,
        shared=min(SHARED_WEIGHTS, len({model.checkpoint.model for model in run_plan.plan.models})),
        devices=devices,
        one_process=one_process,
    )
