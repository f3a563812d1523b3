"""Recipes of memorization: what decides a model's answers, whose lines they are, and what the corpora share.

The secret that keys a run's line hashes is in none of them: tables hold counts and places, never such a hash.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.core.keys import Key, versions_of
from raysim.matching.overlap import OVERLAP_VERSION
from raysim.matching.renamed import RENAMED_VERSION
from raysim.matching.study_counts import STUDY_COUNTS_VERSION
from raysim.measures.generation import numerics
from raysim.measures.memorization.documented_functions import grammars_of
from raysim.measures.memorization.settings import (
    ATTRIBUTION_VERSION,
    FILTER_BLOCKS_VERSION,
    PROMPT_FACTS_VERSION,
    MemorizationSettings,
)
from raysim.simulation.run_context import RunContext


def generation_recipe(
    context: RunContext, model: Key, organization: str, settings: MemorizationSettings
) -> dict[str, Any]:
    """Recipe of the answers of `model` to an organization's prompts."""
    stats = context.client_stats[organization]
    return {
        **settings.generation_recipe(numerics(context, settings)),
        "kind": "generate",
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "prompts": _prompts_at(context, organization, settings),
        "corpus": [stats.train_fingerprint, stats.valid_fingerprint],
        "sequence_length": context.trainer.sequence_length,
        "threads": context.trainer.threads,
        **_seeds(context),
        **_filtered(context, settings),
        "libraries": context.libraries,
    }


def neutral_generation_recipe(
    context: RunContext, model: Key, neutral: str, settings: MemorizationSettings
) -> dict[str, Any]:
    """Recipe of the answers of `model` to neutral prompts; `neutral` is the fingerprint of their files."""
    return {
        **settings.generation_recipe(numerics(context, settings)),
        "kind": "generate",
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "prompts": settings.neutral_recipe(),
        "corpus": neutral,
        "sequence_length": context.trainer.sequence_length,
        "threads": context.trainer.threads,
        **_seeds(context),
        **_filtered(context, settings),
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


def match_recipe(
    context: RunContext, generations: Key, settings: MemorizationSettings, references: str
) -> dict[str, Any]:
    """Recipe of whose lines the answers named by `generations` repeat; `references` is a fingerprint.

    The prompts, whose last lines count as context and whose true continuations are looked for, are in the recipe of the
    answers.
    """
    return {
        **_compared(context, settings, references),
        "kind": "match",
        "attribution": ATTRIBUTION_VERSION,
        "window_in_prompt": settings.window_in_prompt,
        "generations": generations,
    }


def prompts_recipe(
    context: RunContext, organization: str, settings: MemorizationSettings, references: str, neutral: str = ""
) -> dict[str, Any]:
    """Recipe of the facts about prompts, with how often their true continuation occurs elsewhere.

    Args:
        context: of the models.
        organization: whose prompts they are.
        settings: of memorization.
        references: a fingerprint.
        neutral: of neutral prompts, in place of an organization, the fingerprint of their files.
    """
    return {
        **_compared(context, settings, references),
        **_prompted(context, organization, settings, neutral),
        "kind": "prompts",
        "facts": PROMPT_FACTS_VERSION,
    }


def copies_recipe(
    context: RunContext, organization: str, settings: MemorizationSettings, neutral: str = ""
) -> dict[str, Any]:
    """Recipe of where the true continuations of prompts occur in each training split; see `prompts_recipe`."""
    return {**_overlapping(context, settings), **_prompted(context, organization, settings, neutral), "kind": "copies"}


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


def study_recipe(context: RunContext, generations: Mapping[str, Key], settings: MemorizationSettings) -> dict[str, Any]:
    """Recipe of the study's counts of a model's answers, named for each organization whose prompts it answered."""
    return {
        "kind": "study_counts",
        "version": STUDY_COUNTS_VERSION,
        "min_lines": settings.min_lines,
        "rules": settings.study_counts.rules,
        "corpora": {name: stats.train_fingerprint for name, stats in context.client_stats.items()},
        "generations": dict(generations),
    }


def renamed_recipe(
    context: RunContext, matches: Key, settings: MemorizationSettings, references: str
) -> dict[str, Any]:
    """Recipe of whose lines answers are under other names; `matches` names those to which they are equal."""
    return {**_blinded(context, settings, references), "kind": "renamed", "match": matches}


def renamed_chance_recipe(
    context: RunContext, organization: str, settings: MemorizationSettings, references: str
) -> dict[str, Any]:
    """Recipe of how much of an organization's held-out files is somebody's training code under other names."""
    stats = context.client_stats[organization]
    return {
        **_blinded(context, settings, references),
        "kind": "renamed_chance",
        "verbatim": settings.matching_recipe(),
        "organization": organization,
        "held_out": [stats.valid_fingerprint, stats.test_fingerprint],
    }


def filter_blocks_recipe(generations: Mapping[str, Key]) -> dict[str, Any]:
    """Recipe of what the output filter did to a model's answers, named for each organization whose prompts they answer.

    What it filters by is in the recipes of the answers.
    """
    return {"kind": "filter_blocks", "version": FILTER_BLOCKS_VERSION, "generations": dict(generations)}


def clones_recipe(
    context: RunContext, organization: str, settings: MemorizationSettings, references: str
) -> dict[str, Any]:
    """Recipe of what an organization's training split shares with all others and with the references."""
    return {**_compared(context, settings, references), "kind": "clones", "organization": organization}


def held_out_copies_recipe(
    context: RunContext, organization: str, settings: MemorizationSettings, references: str
) -> dict[str, Any]:
    """Recipe of how much of an organization's held-out files stands in training splits and in the references."""
    stats = context.client_stats[organization]
    return {
        **_compared(context, settings, references),
        "kind": "held_out_copies",
        "organization": organization,
        "held_out": [stats.valid_fingerprint, stats.test_fingerprint],
    }


def _blinded(context: RunContext, settings: MemorizationSettings, references: str) -> dict[str, Any]:
    """The tokens that are compared, and how. By name, because the tables name owners.

    Raises:
        ValueError: they are not asked for.
    """
    if settings.renamed is None:
        raise ValueError("measure.memorization.renamed is not set")
    corpora = {name: stats.train_fingerprint for name, stats in context.client_stats.items()}
    return {
        "version": RENAMED_VERSION,
        "min_tokens": settings.renamed.min_tokens,
        "corpora": corpora,
        "references": references,
        # Lexers say what a name is, and so does Python's Unicode.
        "libraries": versions_of("python", "pygments"),
    }


def _seeds(context: RunContext) -> dict[str, int]:
    """The seed of the samples, which is the run's, so that their noise varies over seeds; and that of the prompts.

    The latter is left out where it is the same: so keys are what they were when one seed was for both.
    """
    apart = {"split_seed": context.split_seed} if context.split_seed != context.seed else {}
    return {"seed": context.seed, **apart}


def _prompts_at(context: RunContext, organization: str, settings: MemorizationSettings) -> dict[str, Any]:
    """What decides an organization's prompts, with the grammars that tell functions of other languages than Python."""
    held_out = settings.prompts.held_out and settings.held_out_prompts == "function"
    of_functions = settings.prompts.function or held_out
    grammars = grammars_of(context.client_stats[organization].languages) if of_functions else ""
    return {**settings.prompt_recipe(), **({"grammars": grammars} if grammars else {})}


def _filtered(context: RunContext, settings: MemorizationSettings) -> dict[str, Any]:
    """The output filter and the training splits whose lines it blocks; nothing where there is none.

    The key of its digests follows from these splits, so that answers depend on nothing that is not named here.
    """
    if settings.output_filter is None:
        return {}
    corpora = {name: stats.train_fingerprint for name, stats in context.client_stats.items()}
    return {"output_filter": {**settings.output_filter.recipe(), "corpora": corpora}}


def _prompted(
    context: RunContext, organization: str, settings: MemorizationSettings, neutral: str = ""
) -> dict[str, Any]:
    """An organization's prompts, beside its training split; or the neutral ones, by the fingerprint of their files."""
    if neutral:
        return {
            "neutral": neutral,
            "prompts": settings.neutral_recipe(),
            "split_seed": context.split_seed,
            "tokenizer": context.tokenizer,
            "sequence_length": context.trainer.sequence_length,
        }
    return {
        "organization": organization,
        "prompts": _prompts_at(context, organization, settings),
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
