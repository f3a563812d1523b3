"""The evaluation that a plan leads to: which work reads which planned model, and how much of it."""

from collections.abc import Iterable, Mapping, Sequence

from raysim.core.keys import Key, key_of
from raysim.measures.base import EvalContext, Measure, PlannedEvaluation
from raysim.measures.registry import work_kinds
from raysim.simulation.planner import Plan, PlannedModel
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.store import Store
from raysim.tasks.kinds import FISHER, TRAIN


def plan_evaluation(measures: Sequence[Measure], context: EvalContext, plan: Plan) -> dict[Key, PlannedEvaluation]:
    """All work of `measures` that reads the weights of a planned model, in the order of the plan."""
    found: dict[Key, PlannedEvaluation] = {}
    for model in (*plan.models, *_after_epochs(plan, measures), *plan.uploads):
        there = context.at(model.strategy_run.context)
        for measure in measures:
            if measure.wants(model.checkpoint):
                for task in measure.tasks(there, model.checkpoint):
                    if task.reads_model:
                        found[task.key] = PlannedEvaluation(task.recipe, task.tokens)
                for planned in measure.generations(there, model.checkpoint):
                    found[key_of(planned.recipe)] = planned
    return found


def measured_models(plan: Plan, evaluations: Mapping[Key, PlannedEvaluation]) -> frozenset[Key]:
    """Models that tables name: those that settings pass through; uploads are probed and go."""
    read = {evaluation.recipe["weights"] for evaluation in evaluations.values()}
    return plan.reported | (read - {model.checkpoint.model for model in plan.uploads})


def pending_work(
    plan: Plan, evaluations: Mapping[Key, PlannedEvaluation], store: Store
) -> tuple[dict[str, int], dict[str, int]]:
    """Tokens and pieces of each kind of work that the store does not have yet; of kinds that are counted in tokens."""
    tokens = {kind.name: 0 for kind in work_kinds().values() if kind.passes}
    pieces = dict(tokens)
    planned = [(key, TRAIN.name, stage.num_tokens) for key, stage in plan.unique_stages().items()]
    planned += [(key, FISHER.name, count) for key, count in plan.importances.items()]
    planned += [(key, evaluation.recipe["kind"], evaluation.tokens) for key, evaluation in evaluations.items()]
    for key, kind, count in planned:
        if not store.has(key):
            tokens[kind] += count
            pieces[kind] += 1
    return tokens, pieces


def _after_epochs(plan: Plan, measures: Sequence[Measure]) -> Iterable[PlannedModel]:
    """The models after every epoch of the stages of strategies that do not aggregate, which no strategy plans.

    The base is measured when its training has ended alone.
    """
    for stage in plan.stages:
        if stage.strategy_run.strategy.aggregates or stage.strategy_run.strategy.family == "base":
            continue
        organizations = stage.instruction.organizations
        if not any(measure.after_epochs(organizations) for measure in measures):
            continue
        last = organizations[0] if len(organizations) == 1 else ""
        for epoch in range(1, stage.instruction.epochs + 1):
            key = key_of(RunContext.epoch_checkpoint(stage.key, epoch))
            yield PlannedModel(stage.strategy_run, ModelCheckpoint(key, "epoch", epoch, False, last))
