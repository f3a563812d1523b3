"""The measuring that a plan leads to: which work, and how much."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raysim.core.keys import Key, key_of
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.setup import Setup
from raysim.measures.client_tasks import client_tasks
from raysim.measures.memorization.measure import wanted
from raysim.measures.pass_at_k.linting import linting_recipe
from raysim.measures.pass_at_k.problems import fingerprint_of_prompts, load_problems
from raysim.measures.recipes import generation_recipe, solution_recipe
from raysim.simulation.planner import Plan, PlannedModel
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.store import Store


@dataclass(frozen=True)
class PlannedEvaluation:
    """A piece of work on a model that a plan leads to.

    Attributes:
        recipe: of the work.
        tokens: that it takes, at most.
    """

    recipe: Mapping[str, Any]
    tokens: int


def measuring(loaded: LoadedExperiment, setup: Setup, plan: Plan) -> dict[Key, PlannedEvaluation]:
    """All work that reads the weights of a planned model, in the order of the plan."""
    experiment = loaded.experiment
    settings = experiment.measure.memorization
    solving = experiment.measure.pass_at_k
    problems = load_problems(solving.problems, loaded.base) if solving else ()
    if solving:
        linting_recipe("")  # says now if there is no linter
    prompts = fingerprint_of_prompts(problems)
    epoch_checkpoints = experiment.after_epochs
    found: dict[Key, PlannedEvaluation] = {}
    for model in (*plan.models, *(_epochs(plan) if epoch_checkpoints else ())):
        key, context = model.checkpoint.model, model.strategy_run.context
        for client_task in client_tasks(experiment, setup.tokenizer, context, model.checkpoint):
            if "weights" in client_task.recipe:
                found[client_task.key] = PlannedEvaluation(client_task.recipe, client_task.tokens)
        if settings and wanted(model.checkpoint, settings):
            tokens = sum(count for _, count in settings.prompts) * settings.samples * settings.new_tokens
            for name in setup.client_stats:
                recipe = generation_recipe(context, key, name, settings)
                found[key_of(recipe)] = PlannedEvaluation(recipe, tokens)
        if solving and wanted(model.checkpoint, solving):
            recipe = solution_recipe(context, key, prompts, solving)
            found[key_of(recipe)] = PlannedEvaluation(recipe, len(problems) * solving.samples * solving.new_tokens)
    return found


def _epochs(plan: Plan) -> Iterable[PlannedModel]:
    """The models after every epoch of the stages of settings that do not aggregate, which no strategy plans."""
    for stage in plan.stages:
        if stage.strategy_run.strategy.aggregates:
            continue
        for epoch in range(1, stage.instruction.epochs + 1):
            key = key_of(RunContext.epoch_checkpoint(stage.key, epoch))
            yield PlannedModel(stage.strategy_run, ModelCheckpoint(key, "epoch", epoch, final=False))


def pending_tokens(plan: Plan, measures: Mapping[Key, PlannedEvaluation], store: Store) -> dict[str, int]:
    """Tokens of each kind of work that the store does not have yet."""
    pending = {
        "train": sum(stage.num_tokens for key, stage in plan.unique_stages().items() if not store.has(key)),
        "losses": 0,
        "generate": 0,
        "extract": 0,
        "solve": 0,
        "exposure": 0,
        "membership": 0,
    }
    for key, measure in measures.items():
        pending[measure.recipe["kind"]] += 0 if store.has(key) else measure.tokens
    return pending
