"""The key of each kind of work, from the real recipes, and all that they are made of side by side."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysim.strategies.fedavg import FedAvg, FedAvgSettings

from raysim.core.keys import Key, key_of
from raysim.core.settings import Settings
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.packing import packing_key, packing_seed
from raysim.corpus.planted_functions import PlantSettings
from raysim.corpus.sequence_canaries import SequenceCanarySettings
from raysim.corpus.tokenizer import TrainedTokenizerSettings
from raysim.experiment.setup import tokenizer_recipe
from raysim.measures.baselines import BaselineSettings, baselines_recipe
from raysim.measures.exposure import ExposureSettings, exposure_recipe
from raysim.measures.membership.measure import blind_recipe, membership_recipe
from raysim.measures.membership.scores import MembershipSettings
from raysim.measures.memorization.recipes import (
    clones_recipe,
    copies_recipe,
    emissions_recipe,
    extraction_recipe,
    filter_blocks_recipe,
    generation_recipe,
    held_out_copies_recipe,
    match_recipe,
    prompts_recipe,
    renamed_chance_recipe,
    renamed_recipe,
    study_recipe,
)
from raysim.measures.memorization.settings import (
    ExtractionSettings,
    MemorizationSettings,
    PromptCounts,
    RenamedSettings,
)
from raysim.measures.pass_at_k.linting import linting_recipe
from raysim.measures.pass_at_k.problems import Problem, fingerprint_of_prompts, fingerprint_of_tests
from raysim.measures.pass_at_k.recipes import execution_recipe, licences_recipe, solution_recipe
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.measures.perplexity import PerplexitySettings, scoring_recipe, training_recipe
from raysim.measures.privacy_audit import PrivacyAuditSettings, audit_recipe
from raysim.measures.recital import RecitalSettings, recital_recipe
from raysim.organizations.client_stats import ClientStats
from raysim.organizations.organization import ModelSpec
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, Importance, TrainInstruction
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings


@dataclass(frozen=True)
class Inputs:
    """All that recipes are made of, except for versions; keys of earlier work are given, not followed."""

    context: RunContext
    instruction: TrainInstruction
    results: tuple[ClientUpdate, ...]
    perplexity: PerplexitySettings
    memorization: MemorizationSettings
    canaries: CanarySettings
    exposure: ExposureSettings
    plants: PlantSettings
    recital: RecitalSettings
    baselines: BaselineSettings
    membership: MembershipSettings
    pass_at_k: PassAtKSettings
    sequence_canaries: SequenceCanarySettings
    privacy_audit: PrivacyAuditSettings
    tokenizer: TrainedTokenizerSettings
    texts: str
    references: str
    model: Key
    stage: Key
    epoch: int
    generations: Key
    problems: tuple[Problem, ...]
    solutions: Key
    matches: Key
    trained_on: tuple[str, ...]
    importance: Importance


def stats(name: str) -> ClientStats:
    splits = {"train": {"files": 2, "sequences": 3, "tokens": 190}, "valid": {"tokens": 5}}
    return ClientStats(
        name, f"train {name}", f"valid {name}", splits, ({"reason": "r", "files": 1},), {"MIT": 1}, 0, ((1, 9),)
    )


CONFIG = {"model_type": "gpt2", "n_layer": 1, "resid_pdrop": 0.0}
ASSIGNMENT = TrainInstruction(("a",), "model", 2, 4, "stage", True)
BASE = Inputs(
    context=RunContext(
        ModelSpec(ModelSettings(config=CONFIG), 300, 0, 64),
        TrainerSettings(sequence_length=64),
        "tokenizer",
        {name: stats(name) for name in "ab"},
        split_seed=1,
        seed=1,
        libraries="torch 2",
        bf16=True,
    ),
    instruction=ASSIGNMENT,
    results=(
        ClientUpdate(ASSIGNMENT, "stage a", 3),
        ClientUpdate(dataclasses.replace(ASSIGNMENT, organizations=("b",)), "b", 3),
    ),
    perplexity=PerplexitySettings(),
    memorization=MemorizationSettings(
        prompts=PromptCounts(function=3, prefix=2),
        precision="fp32",
        extraction=ExtractionSettings(),
        renamed=RenamedSettings(),
    ),
    canaries=CanarySettings(),
    exposure=ExposureSettings(),
    plants=PlantSettings(),
    recital=RecitalSettings(),
    baselines=BaselineSettings(),
    membership=MembershipSettings(),
    pass_at_k=PassAtKSettings(precision="fp32"),
    sequence_canaries=SequenceCanarySettings(),
    privacy_audit=PrivacyAuditSettings(),
    tokenizer=TrainedTokenizerSettings(),
    texts="texts",
    references="references",
    model="model",
    stage="stage",
    epoch=1,
    generations="generations",
    problems=(Problem("P/0", "prompt", "test", "canonical"),),
    solutions="solutions",
    matches="matches",
    trained_on=("a",),
    importance=Importance("a", "model", 3),
)
FEDERATION = Federation((ClientInfo("a", 3, 190, 1.0, 0.0), ClientInfo("b", 3, 190, 1.0, 0.0)), 10, "reset")


def keys_of(inputs: Inputs, strategy: FedAvg | None = None) -> dict[str, Key]:
    """The key of each kind of work; what is asked of one organization is asked of ``a``."""
    context, memorization = dataclasses.replace(inputs.context), inputs.memorization  # anew: a world keeps its recipes
    corpus = context.client_stats["a"].train_fingerprint
    seed = packing_seed(context.split_seed, corpus, context.tokenizer, context.trainer.sequence_length)
    recipes = {
        "tokenizer": tokenizer_recipe(inputs.tokenizer, inputs.texts, context.split_seed),
        "initial": context.initial,
        "train": context.stage_recipe(inputs.instruction),
        "fisher": context.importance_recipe(inputs.importance),
        "snapshot": RunContext.epoch_checkpoint(inputs.stage, inputs.epoch),
        "aggregate": context.aggregation(
            strategy or FedAvg(FedAvgSettings(), FEDERATION), inputs.model, inputs.results
        ),
        "losses": scoring_recipe(context, inputs.model, "a", inputs.perplexity.batch_size),
        "training_losses": training_recipe(context, inputs.model, "a", inputs.perplexity),
        "generate": generation_recipe(context, inputs.model, "a", memorization),
        "extract": extraction_recipe(context, inputs.model, "a", memorization),
        "match": match_recipe(context, inputs.generations, memorization, inputs.references),
        "prompts": prompts_recipe(context, "a", memorization, inputs.references),
        "clones": clones_recipe(context, "a", memorization, inputs.references),
        "held_out_copies": held_out_copies_recipe(context, "a", memorization, inputs.references),
        "copies": copies_recipe(context, "a", memorization),
        "emissions": emissions_recipe(
            context, {"a": inputs.matches}, inputs.trained_on, memorization, inputs.references
        ),
        "study_counts": study_recipe(context, {"a": inputs.generations}, memorization),
        "renamed": renamed_recipe(context, inputs.matches, memorization, inputs.references),
        "renamed_chance": renamed_chance_recipe(context, "a", memorization, inputs.references),
        "filter_blocks": filter_blocks_recipe({"a": inputs.generations}),
        "exposure": exposure_recipe(context, inputs.model, "a", inputs.canaries, inputs.exposure),
        "recital": recital_recipe(context, inputs.model, "a", inputs.plants, inputs.recital.batch_size),
        "baselines": baselines_recipe(context, list(context.client_stats)[:2], (), inputs.baselines.order),
        "membership": membership_recipe(context, inputs.model, "a", inputs.membership),
        "blind": blind_recipe(context, "a", inputs.membership),
        "solve": solution_recipe(context, inputs.model, fingerprint_of_prompts(inputs.problems), inputs.pass_at_k),
        "execute": execution_recipe(inputs.solutions, fingerprint_of_tests(inputs.problems), inputs.pass_at_k),
        "lint": linting_recipe(inputs.solutions),
        "licences": licences_recipe(context, "a", inputs.solutions, inputs.pass_at_k),
        "privacy_audit": audit_recipe(
            context, inputs.model, "a", inputs.sequence_canaries, inputs.privacy_audit.batch_size
        ),
    }
    for kind, recipe in recipes.items():
        assert recipe["kind"] == kind
    return {"packing": packing_key(seed)} | {kind: key_of(recipe) for kind, recipe in recipes.items()}


KINDS = set(keys_of(BASE))
COMPARED = {"match", "prompts", "clones", "held_out_copies", "copies", "emissions", "study_counts"} | {
    "renamed",
    "renamed_chance",
}
"""Kinds of work that compare the lines of all organizations, by name."""


def get(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value[0] if name == "0" else value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


def replaced(value: Any, path: str, new: Any) -> Any:
    """A copy of `value` with another field; settings are validated anew.

    Raises:
        pydantic.ValidationError: the settings do not allow it.
    """
    name, _, rest = path.partition(".")
    child = replaced(get(value, name), rest, new) if rest else new
    if isinstance(value, Settings):
        if len(choices(type(value), name)) == 1:  # there is no other value yet, but there may be
            return value.model_copy(update={name: child})
        return type(value)(**{**dict(value), name: child})
    if isinstance(value, Mapping):
        return {**value, name: child}
    return (child, *value[1:]) if isinstance(value, tuple) else dataclasses.replace(value, **{name: child})


def choices(owner: type, name: str) -> tuple[Any, ...]:
    """The values of a field that is a Literal."""
    annotation = typing.get_type_hints(owner).get(name)
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()
