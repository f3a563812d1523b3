"""Recipes of measuring: what decides a model's losses and answers, whose lines they are, and what the corpora share.

The secret that keys a run's line hashes stands in none of them: tables hold counts and places, never such a hash.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.core.keys import Key, versions_of
from raysim.corpus.canaries import CanarySettings
from raysim.inference.numerics import numerics_of
from raysim.matching.licences import LICENCES_VERSION
from raysim.matching.overlap import OVERLAP_VERSION
from raysim.measures.blind import BLIND_VERSION
from raysim.measures.exposure import ExposureSettings
from raysim.measures.membership import MEMBERSHIP_VERSION, MembershipSettings
from raysim.measures.memorization.settings import MemorizationSettings, Numerics
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.measures.perplexity import losses_recipe
from raysim.simulation.run_context import World


def scoring_recipe(world: World, model: Key, organization: str, batch_size: int) -> dict[str, Any]:
    """Recipe of the losses of `model` on one organization's validation split."""
    return losses_recipe(
        model,
        world.inventories[organization].valid_fingerprint,
        world.model_recipe,
        world.tokenizer,
        world.trainer.sequence_length,
        batch_size,
        world.trainer.threads,
        world.libraries,
    )


def numerics(world: World, settings: MemorizationSettings | PassAtKSettings) -> Numerics:
    """In which numbers models answer: the same on all nodes, whatever their processors."""
    return numerics_of(settings.precision or world.trainer.precision, world.bf16)


def generation_recipe(world: World, model: Key, organization: str, settings: MemorizationSettings) -> dict[str, Any]:
    """Recipe of the answers of `model` to an organization's prompts. Its ``seed`` is the split's: never the model's."""
    inventory = world.inventories[organization]
    return {
        **settings.generation_recipe(numerics(world, settings)),
        "kind": "generate",
        "weights": model,
        "model": world.model_recipe,
        "tokenizer": world.tokenizer,
        "prompts": settings.prompt_recipe(),
        "corpus": [inventory.train_fingerprint, inventory.valid_fingerprint],
        "sequence_length": world.trainer.sequence_length,
        "threads": world.trainer.threads,
        "seed": world.split_seed,
        "libraries": world.libraries,
    }


def extraction_recipe(world: World, model: Key, organization: str, settings: MemorizationSettings) -> dict[str, Any]:
    """Recipe of how `model` recites an organization's passages. Its ``seed`` is the split's, as for prompts."""
    return {
        **settings.extraction_recipe(),
        "weights": model,
        "model": world.model_recipe,
        "tokenizer": world.tokenizer,
        "corpus": world.inventories[organization].train_fingerprint,
        "sequence_length": world.trainer.sequence_length,
        "threads": world.trainer.threads,
        "seed": world.split_seed,
        "libraries": world.libraries,
    }


def solution_recipe(world: World, model: Key, problems: Key, settings: PassAtKSettings) -> dict[str, Any]:
    """Recipe of the solutions of `model` to the problems whose prompts `problems` names; tests are not in it."""
    return {
        **settings.generation_recipe(numerics(world, settings)),
        "weights": model,
        "model": world.model_recipe,
        "tokenizer": world.tokenizer,
        "problems": problems,
        "threads": world.trainer.threads,
        "seed": world.split_seed,
        "libraries": world.libraries,
    }


def execution_recipe(solutions: Key, tests: Key, settings: PassAtKSettings) -> dict[str, Any]:
    """Recipe of what comes of the solutions that a key names under the tests that another names."""
    return {**settings.execution_recipe(), "solutions": solutions, "tests": tests}


def licences_recipe(world: World, organization: str, solutions: Key, settings: PassAtKSettings) -> dict[str, Any]:
    """Recipe of the licences under which solutions stand in an organization's training split."""
    return {
        "kind": "licences",
        "version": LICENCES_VERSION,
        "solutions": solutions,
        "corpus": world.inventories[organization].train_fingerprint,
        "min_lines": settings.min_lines,
    }


def match_recipe(world: World, generations: Key, settings: MemorizationSettings, references: str) -> dict[str, Any]:
    """Recipe of whose lines the answers named by `generations` repeat; `references` is a fingerprint.

    The prompts, whose last lines count as context, stand in the recipe of the answers.
    """
    return {**_compared(world, settings, references), "kind": "match", "generations": generations}


def prompts_recipe(world: World, organization: str, settings: MemorizationSettings, references: str) -> dict[str, Any]:
    """Recipe of the facts about an organization's prompts, with how often what they lead to stands elsewhere."""
    return {**_compared(world, settings, references), **_prompted(world, organization, settings), "kind": "prompts"}


def copies_recipe(world: World, organization: str, settings: MemorizationSettings) -> dict[str, Any]:
    """Recipe of where in each training split stands what an organization's prompts lead to."""
    return {**_overlapping(world, settings), **_prompted(world, organization, settings), "kind": "copies"}


def emissions_recipe(
    world: World,
    matches: Mapping[str, Key],
    trained_on: Sequence[str],
    settings: MemorizationSettings,
    references: str,
) -> dict[str, Any]:
    """Recipe of how much of each organization's code a model gives away, and how much of that it had seen.

    Args:
        world: of the model.
        matches: for each organization whose prompts the model answered, the key of whose lines the answers repeat.
        trained_on: organizations whose training splits the model has seen.
        settings: of the matches.
        references: a fingerprint.
    """
    return {
        **_overlapping(world, settings),
        "kind": "emissions",
        "matches": dict(matches),
        "trained_on": sorted(trained_on),
        "references": references,
    }


def clones_recipe(world: World, organization: str, settings: MemorizationSettings, references: str) -> dict[str, Any]:
    """Recipe of what an organization's training split shares with all others and with the references."""
    return {**_compared(world, settings, references), "kind": "clones", "organization": organization}


def exposure_recipe(
    world: World, model: Key, organization: str, canaries: CanarySettings, settings: ExposureSettings
) -> dict[str, Any]:
    """Recipe of how well `model` knows an organization's canaries, which depend on its name but not on its code."""
    return {
        **settings.recipe(),
        "weights": model,
        "model": world.model_recipe,
        "tokenizer": world.tokenizer,
        "organization": organization,
        "canaries": canaries.recipe(),
        "split_seed": world.split_seed,
        "threads": world.trainer.threads,
        "libraries": world.libraries,
    }


def membership_recipe(world: World, model: Key, organization: str, settings: MembershipSettings) -> dict[str, Any]:
    """Recipe of what `model` scores of an organization's members and non-members."""
    return {
        **settings.recipe(),
        **_told_apart(world, organization),
        "kind": "membership",
        "version": MEMBERSHIP_VERSION,
        "weights": model,
        "model": world.model_recipe,
        "threads": world.trainer.threads,
        "libraries": world.libraries,
    }


def blind_recipe(world: World, organization: str, settings: MembershipSettings) -> dict[str, Any]:
    """Recipe of the guesses at an organization's members and non-members without any model."""
    return {
        **_told_apart(world, organization),
        "kind": "blind",
        "version": BLIND_VERSION,
        "units": settings.unit_recipe(),
        "libraries": versions_of("scikit-learn", "scipy", "numpy", "tokenizers"),
    }


def _told_apart(world: World, organization: str) -> dict[str, Any]:
    """The splits whose files are told apart, and what says where they lie in training."""
    inventory = world.inventories[organization]
    return {
        "corpus": [inventory.train_fingerprint, inventory.valid_fingerprint],
        "tokenizer": world.tokenizer,
        "sequence_length": world.trainer.sequence_length,
        "split_seed": world.split_seed,
    }


def _prompted(world: World, organization: str, settings: MemorizationSettings) -> dict[str, Any]:
    """An organization's prompts, beside its training split."""
    return {
        "organization": organization,
        "prompts": settings.prompt_recipe(),
        "split_seed": world.split_seed,
        "tokenizer": world.tokenizer,
        "sequence_length": world.trainer.sequence_length,
        "valid": world.inventories[organization].valid_fingerprint,
    }


def _overlapping(world: World, settings: MemorizationSettings) -> dict[str, Any]:
    """The training splits whose windows are looked up, by the names that the tables hold."""
    corpora = {name: inventory.train_fingerprint for name, inventory in world.inventories.items()}
    return {**settings.matching_recipe(), "overlap": OVERLAP_VERSION, "corpora": corpora}


def _compared(world: World, settings: MemorizationSettings, references: str) -> dict[str, Any]:
    """The lines that are compared, and how. By name, because the tables name owners."""
    corpora = {name: inventory.train_fingerprint for name, inventory in world.inventories.items()}
    return {**settings.matching_recipe(), "corpora": corpora, "references": references}
