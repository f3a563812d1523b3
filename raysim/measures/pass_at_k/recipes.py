"""Recipes of pass@k: what decides a model's solutions, what becomes of them, and under which licences they are."""

from collections.abc import Sequence
from typing import Any

from raysim.core.keys import Key, key_of
from raysim.matching.licences import LICENCES_VERSION
from raysim.measures.generation import numerics
from raysim.measures.pass_at_k.problems import Problem, fingerprint_of_prompts, fingerprint_of_tests
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.simulation.run_context import RunContext


def solution_recipe(context: RunContext, model: Key, problems: Key, settings: PassAtKSettings) -> dict[str, Any]:
    """Recipe of the solutions of `model` to the problems whose prompts `problems` names; tests are not in it."""
    return {
        **settings.generation_recipe(numerics(context, settings)),
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "problems": problems,
        "threads": context.trainer.threads,
        "seed": context.seed,
        "libraries": context.libraries,
    }


def execution_recipe(solutions: Key, tests: Key, settings: PassAtKSettings) -> dict[str, Any]:
    """Recipe of what comes of the solutions that a key names under the tests that another names."""
    return {**settings.execution_recipe(), "solutions": solutions, "tests": tests}


def graders_recipe(problems: Sequence[Problem], settings: PassAtKSettings) -> dict[str, Any]:
    """Recipe of the trial of the problems' own solutions, from which nothing comes but that they are right."""
    canonical = sorted((problem.name, problem.canonical) for problem in problems)
    prompts = fingerprint_of_prompts(problems)
    solutions = key_of({"kind": "canonical solutions", "version": 1, "prompts": prompts, "solutions": canonical})
    return {**execution_recipe(solutions, fingerprint_of_tests(problems), settings), "kind": "graders"}


def licences_recipe(
    context: RunContext, organization: str, solutions: Key, settings: PassAtKSettings
) -> dict[str, Any]:
    """Recipe of the licences under which solutions occur in an organization's training split."""
    return {
        "kind": "licences",
        "version": LICENCES_VERSION,
        "solutions": solutions,
        "corpus": context.client_stats[organization].train_fingerprint,
        "min_lines": settings.min_lines,
    }
