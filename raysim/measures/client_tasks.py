"""What organizations are asked about a model: one visit for each table that its scores go into."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raysim.core.keys import Key, key_of
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.experiment.config import Experiment
from raysim.measures.client_functions import expose_at, extract_at, guess_at, infer_at, score_at
from raysim.measures.exposure import num_scored
from raysim.measures.membership import MembershipSettings
from raysim.measures.memorization.measure import wanted
from raysim.measures.recipes import (
    blind_recipe,
    exposure_recipe,
    extraction_recipe,
    membership_recipe,
    scoring_recipe,
)
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint

CLIENT_TABLES = ("losses", "extraction", "canaries", "membership", "blind")


@dataclass(frozen=True)
class ClientTask:
    """A visit to one organization.

    Attributes:
        table: that its rows belong to.
        organization: that is visited.
        about: what it is asked about, for people.
        recipe: of the work; it names weights, unless the model does not matter.
        function: runs there, with the weights, if the recipe names some, and `arguments`.
        arguments: of the visitor.
        tokens: that the model scores, at most; of canaries about so many, as they are as long as an example.
    """

    table: str
    organization: str
    about: str
    recipe: Mapping[str, Any]
    function: Any
    arguments: tuple[Any, ...]
    tokens: int = 0

    @property
    def key(self) -> Key:
        return key_of(self.recipe)


def client_tasks(
    experiment: Experiment, tokenizer: CodeTokenizer, context: RunContext, checkpoint: ModelCheckpoint
) -> Iterator[ClientTask]:
    """All visits that an experiment asks for when a model is reached; those without a model come with each."""
    model, measure, planted = checkpoint.model, experiment.measure, experiment.canaries
    spec, length, threads, split_seed = (
        context.spec,
        context.trainer.sequence_length,
        context.trainer.threads,
        context.split_seed,
    )
    for name, stats in context.client_stats.items():
        if asked := measure.perplexity:
            recipe = scoring_recipe(context, model, name, asked.batch_size)
            arguments = (spec, length, asked.batch_size, threads)
            yield ClientTask("losses", name, "files", recipe, score_at, arguments, stats.splits["valid"]["tokens"])
        asked = measure.memorization
        if asked and asked.extraction and wanted(checkpoint, asked):
            recipe = extraction_recipe(context, model, name, asked)
            arguments = (spec, asked, split_seed, threads)
            yield ClientTask("extraction", name, "passages", recipe, extract_at, arguments, asked.extraction.tokens)
        asked = measure.exposure
        if planted and planted.planted_in(name) and asked and wanted(checkpoint, asked):
            recipe = exposure_recipe(context, model, name, planted, asked)
            arguments = (spec, planted, asked, split_seed, threads)
            tokens = num_scored(planted, asked) * len(tokenizer.encode(_example(planted)))
            yield ClientTask("canaries", name, "canaries", recipe, expose_at, arguments, tokens)
        asked = measure.membership
        if asked and wanted(checkpoint, asked):
            recipe = membership_recipe(context, model, name, asked)
            arguments = (spec, asked, length, split_seed, threads)
            tokens = sum(_at_most(split["tokens"], asked) for split in stats.splits.values())
            yield ClientTask("membership", name, "members", recipe, infer_at, arguments, tokens)
            arguments = (asked, length, split_seed)
            yield ClientTask("blind", name, "members", blind_recipe(context, name, asked), guess_at, arguments)


def _example(planted: CanarySettings) -> str:
    return planted.text("".join(planted.alphabet[i % len(planted.alphabet)] for i in range(planted.length)))


def _at_most(tokens: int, settings: MembershipSettings) -> int:
    return tokens if settings.chunk_tokens is None else min(tokens, settings.at_most * settings.chunk_tokens)
