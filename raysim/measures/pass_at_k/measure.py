"""pass@k as a measure: whether models solve programming problems (Chen et al. 2021, arXiv 2107.03374)."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from raysim.core.keys import key_of
from raysim.measures.base import EvalContext, GenerationLoad, GenerationMeasure, Measure, PlannedEvaluation
from raysim.measures.generation import numerics
from raysim.measures.pass_at_k.graders import check_graders
from raysim.measures.pass_at_k.linting import linting_recipe
from raysim.measures.pass_at_k.problems import Problem, fingerprint_of_prompts, load_problems
from raysim.measures.pass_at_k.recipes import graders_recipe, solution_recipe
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.store import Store
from raysim.tables.schemas.solving import EXECUTIONS, LICENCES, PATTERNS
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.kinds import WorkKind

_PROBLEM_TOKENS = 512
"""Longest problem that memory is reckoned with; HumanEval's longest have about as many."""


class PassAtK(Measure):
    """Whether generated solutions of programming problems pass their tests, executed in a sandbox."""

    name = "pass_at_k"
    Settings = PassAtKSettings
    example = (
        "pass_at_k: {samples: 20, k: [1, 10]}     # have models solve HumanEval, and execute solutions in a sandbox"
    )
    kinds = (
        # With what follows: running the solutions, and looking at them with a linter.
        WorkKind("solve", "generate", "solving", 2.0, flop_per_parameter=4, token_s=6e-5, piece_s=1.0),
        WorkKind("execute", doing="executing"),
        WorkKind("lint"),
        WorkKind("licences"),
    )
    tables = (EXECUTIONS, PATTERNS, LICENCES)
    report = ("raysim.report.sections.pass_at_k:section",)

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._problems = cache(self._load)

    def _load(self, base: Path) -> tuple[Problem, ...]:
        return tuple(load_problems(self.settings.problems, base))

    def prepare(self, context: EvalContext) -> None:
        """Reads the problems, and looks for the linter."""
        self._problems(context.base)
        linting_recipe("")

    def try_out(self, context: EvalContext, store: Store) -> None:
        """Tries the problems' own solutions, and empty ones, within the limits that solutions have."""
        problems = self._problems(context.base)
        recipe = graders_recipe(problems, self.settings)
        if not store.has(key_of(recipe)):
            check_graders(problems, self.settings.limits)
            store.put(recipe, {})

    def generations(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[PlannedEvaluation]:
        settings, problems = self.settings, self._problems(context.base)
        recipe = solution_recipe(context.run, checkpoint.model, fingerprint_of_prompts(problems), settings)
        yield PlannedEvaluation(recipe, len(problems) * settings.samples * settings.new_tokens, batched=True)

    def generation_load(self, context: EvalContext) -> GenerationLoad:
        settings, run = self.settings, context.run
        longest = max(1, min(_PROBLEM_TOKENS, run.spec.context - settings.new_tokens))
        # As many problems as fill a batch.
        return GenerationLoad("measure.pass_at_k", settings, numerics(run, settings), settings.batch_size, longest)

    def generation(
        self, context: EvalContext, executor: TaskExecutor, workers: int, secret: bytes
    ) -> GenerationMeasure:
        from raysim.measures.pass_at_k.pipeline import PassAtKMeasure

        return PassAtKMeasure(context, self._problems(context.base), executor, self.settings, workers)
