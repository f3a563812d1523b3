"""Recipes of measuring: what decides a model's losses and answers, whose lines they are, and what the corpora share.

The secret that keys a run's line hashes stands in none of them: tables hold counts and places, never such a hash.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.core.keys import Key, versions_of
from raysim.corpus.canaries import CanarySettings
from raysim.inference.numerics import numerics_of
from raysim.inference.settings import Numerics
from raysim.matching.licences import LICENCES_VERSION
from raysim.matching.overlap import OVERLAP_VERSION
from raysim.measures.blind import BLIND_VERSION
from raysim.measures.exposure import ExposureSettings
from raysim.measures.membership import MEMBERSHIP_VERSION, MembershipSettings
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.measures.perplexity import losses_recipe
from raysim.simulation.run_context import RunContext


def scoring_recipe(context: RunContext, model: Key, organization: str, batch_size: int) -> dict[str, Any]:
    """Recipe of the losses of `model` on one organization's validation split."""
    return losses_recipe(
        model,
        context.client_stats[organization].valid_fingerprint,
        context.model_recipe,
        context.tokenizer,
        context.trainer.sequence_length,
        batch_size,
        context.trainer.threads,
        context.libraries,
    )


def numerics(context: RunContext, settings: MemorizationSettings | PassAtKSettings) -> Numerics:
    """In which numbers models answer: the same on all nodes, whatever their processors."""
    return numerics_of(settings.precision or context.trainer.precision, context.bf16)


def generation_recipe(
    context: RunContext, model: Key, organization: str, settings: MemorizationSettings
) -> dict[str, Any]:
    """Recipe of the answers of `model` to an organization's prompts. Its ``seed`` is the split's: never the model's."""
    stats = context.client_stats[organization]
    return {
        **settings.generation_recipe(numerics(context, settings)),
        "kind": "generate",
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "prompts": settings.prompt_recipe(),
        "corpus": [stats.train_fingerprint, stats.valid_fingerprint],
        "sequence_length": context.trainer.sequence_length,
        "threads": context.trainer.threads,
        "seed": context.split_seed,
        "libraries": context.libraries,
    }


def extraction_recipe(
    context: RunContext, model: Key, organization: str, settings: MemorizationSettings
) -> dict[str, Any]:
    """Recipe of how `model` recites an organization's passages. Its ``seed`` is the split's, as for prompts."""
    return {
        **settings.extraction_recipe(),
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "corpus": context.client_stats[organization].train_fingerprint,
        "sequence_length": context.trainer.sequence_length,
        "threads": context.trainer.threads,
        "seed": context.split_seed,
        "libraries": context.libraries,
    }


def solution_recipe(context: RunContext, model: Key, problems: Key, settings: PassAtKSettings) -> dict[str, Any]:
    """Recipe of the solutions of `model` to the problems whose prompts `problems` names; tests are not in it."""
    return {
        **settings.generation_recipe(numerics(context, settings)),
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "problems": problems,
        "threads": context.trainer.threads,
        "seed": context.split_seed,
        "libraries": context.libraries,
    }


def execution_recipe(solutions: Key, tests: Key, settings: PassAtKSettings) -> dict[str, Any]:
    """Recipe of what comes of the solutions that a key names under the tests that another names."""
    return {**settings.execution_recipe(), "solutions": solutions, "tests": tests}


def licences_recipe(
    context: RunContext, organization: str, solutions: Key, settings: PassAtKSettings
) -> dict[str, Any]:
    """Recipe of the licences under which solutions stand in an organization's training split."""
    return {
        "kind": "licences",
        "version": LICENCES_VERSION,
        "solutions": solutions,
        "corpus": context.client_stats[organization].train_fingerprint,
        "min_lines": settings.min_lines,
    }


def match_recipe(
    context: RunContext, generations: Key, settings: MemorizationSettings, references: str
) -> dict[str, Any]:
    """Recipe of whose lines the answers named by `generations` repeat; `references` is a fingerprint.

    The prompts, whose last lines count as context, stand in the recipe of the answers.
    """
    return {**_compared(context, settings, references), "kind": "match", "generations": generations}


def prompts_recipe(
    context: RunContext, organization: str, settings: MemorizationSettings, references: str
) -> dict[str, Any]:
    """Recipe of the facts about an organization's prompts, with how often what they lead to stands elsewhere."""
    return {**_compared(context, settings, references), **_prompted(context, organization, settings), "kind": "prompts"}


def copies_recipe(context: RunContext, organization: str, settings: MemorizationSettings) -> dict[str, Any]:
    """Recipe of where in each training split stands what an organization's prompts lead to."""
    return {**_overlapping(context, settings), **_prompted(context, organization, settings), "kind": "copies"}


def emissions_recipe(
    context: RunContext,
    matches: Mapping[str, Key],
    trained_on: Sequence[str],
    settings: MemorizationSettings,
    references: str,
) -> dict[str, Any]:
    """Recipe of how much of each organization's code a model gives away, and how much of that it had seen.

    Args:
        context: of the model.
        matches: for each organization whose prompts the model answered, the key of whose lines the answers repeat.
        trained_on: organizations whose training splits the model has seen.
        settings: of the matches.
        references: a fingerprint.
    """
    return {
        **_overlapping(context, settings),
        "kind": "emissions",
        "matches": dict(matches),
        "trained_on": sorted(trained_on),
        "references": references,
    }


def clones_recipe(
    context: RunContext, organization: str, settings: MemorizationSettings, references: str
) -> dict[str, Any]:
    """Recipe of what an organization's training split shares with all others and with the references."""
    return {**_compared(context, settings, references), "kind": "clones", "organization": organization}


def exposure_recipe(
    context: RunContext, model: Key, organization: str, canaries: CanarySettings, settings: ExposureSettings
) -> dict[str, Any]:
    """Recipe of how well `model` knows an organization's canaries, which depend on its name but not on its code."""
    return {
        **settings.recipe(),
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "organization": organization,
        "canaries": canaries.recipe(),
        "split_seed": context.split_seed,
        "threads": context.trainer.threads,
        "libraries": context.libraries,
    }


def membership_recipe(
    context: RunContext, model: Key, organization: str, settings: MembershipSettings
) -> dict[str, Any]:
    """Recipe of what `model` scores of an organization's members and non-members."""
    return {
        **settings.recipe(),
        **_told_apart(context, organization),
        "kind": "membership",
        "version": MEMBERSHIP_VERSION,
        "weights": model,
        "model": context.model_recipe,
        "threads": context.trainer.threads,
        "libraries": context.libraries,
    }


def blind_recipe(context: RunContext, organization: str, settings: MembershipSettings) -> dict[str, Any]:
    """Recipe of the guesses at an organization's members and non-members without any model."""
    return {
        **_told_apart(context, organization),
        "kind": "blind",
        "version": BLIND_VERSION,
        "units": settings.unit_recipe(),
        "libraries": versions_of("scikit-learn", "scipy", "numpy", "tokenizers"),
    }


def _told_apart(context: RunContext, organization: str) -> dict[str, Any]:
    """The splits whose files are told apart, and what says where they lie in training."""
    stats = context.client_stats[organization]
    return {
        "corpus": [stats.train_fingerprint, stats.valid_fingerprint],
        "tokenizer": context.tokenizer,
        "sequence_length": context.trainer.sequence_length,
        "split_seed": context.split_seed,
    }


def _prompted(context: RunContext, organization: str, settings: MemorizationSettings) -> dict[str, Any]:
    """An organization's prompts, beside its training split."""
    return {
        "organization": organization,
        "prompts": settings.prompt_recipe(),
        "split_seed": context.split_seed,
        "tokenizer": context.tokenizer,
        "sequence_length": context.trainer.sequence_length,
        "valid": context.client_stats[organization].valid_fingerprint,
    }


def _overlapping(context: RunContext, settings: MemorizationSettings) -> dict[str, Any]:
    """The training splits whose windows are looked up, by the names that the tables hold."""
    corpora = {name: stats.train_fingerprint for name, stats in context.client_stats.items()}
    return {**settings.matching_recipe(), "overlap": OVERLAP_VERSION, "corpora": corpora}


def _compared(context: RunContext, settings: MemorizationSettings, references: str) -> dict[str, Any]:
    """The lines that are compared, and how. By name, because the tables name owners."""
    corpora = {name: stats.train_fingerprint for name, stats in context.client_stats.items()}
    return {**settings.matching_recipe(), "corpora": corpora, "references": references}
