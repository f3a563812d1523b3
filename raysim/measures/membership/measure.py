"""Membership inference as a measure: scores of every model, and a blind guess once for each organization."""

from collections.abc import Iterable
from typing import Any

from raysim.core.keys import Key, versions_of
from raysim.measures.base import ClientTask, EvalContext, Measure, MeasureScope
from raysim.measures.membership.blind import BLIND_VERSION, blind_scores
from raysim.measures.membership.scores import MEMBERSHIP_VERSION, MembershipSettings, membership_scores
from raysim.organizations.organization import ModelSpec, Organization
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.tables.schemas.audits import BLIND, MEMBERSHIP
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput
from raysim.training.process_memory import oom_hint
from raysim.training.weights import Flat


class Membership(Measure):
    """Whether a model's losses tell training from validation text better than a guess without the model."""

    name = "membership"
    Settings = MembershipSettings
    example = (
        "membership: {k: 20 %}    # do losses tell training from validation text better than a guess without a model?"
    )
    kinds = (
        WorkKind("membership", "score", "scoring", 1.0, flop_per_parameter=2, token_s=1e-5, piece_s=0.02),
        WorkKind("blind"),
    )
    tables = (MEMBERSHIP, BLIND)
    report = ("raysim.report.sections.membership:section",)

    def check(self, scope: MeasureScope) -> None:
        chunk, length = self.settings.chunk_tokens, scope.trainer.sequence_length
        if (chunk or 0) > length:
            raise ValueError(
                f"membership.chunk_tokens: {chunk} tokens are more than a sequence of {length}; set it to"
                " trainer.sequence_length at most, or to null for whole files"
            )

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        run, settings = context.run, self.settings
        length, split_seed = run.trainer.sequence_length, run.split_seed
        for name, stats in run.client_stats.items():
            recipe = membership_recipe(run, checkpoint.model, name, settings)
            arguments = (run.spec, settings, length, split_seed, run.trainer.threads)
            tokens = sum(_at_most(split["tokens"], settings) for split in stats.splits.values())
            yield ClientTask("membership", name, "members", recipe, infer_at, arguments, tokens)
            guess = blind_recipe(run, name, settings)
            yield ClientTask("blind", name, "members", guess, guess_at, (settings, length, split_seed))


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


def infer_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    settings: MembershipSettings,
    sequence_length: int,
    split_seed: int,
    threads: int,
) -> TaskOutput:
    """Scores an organization's members and non-members; runs there."""
    with oom_hint("measure.membership.batch_size"):
        scores = membership_scores(organization, weights, spec, settings, sequence_length, split_seed, threads)
    return TaskOutput(tables={"membership": scores})


def guess_at(
    organization: Organization, settings: MembershipSettings, sequence_length: int, split_seed: int
) -> TaskOutput:
    """Guesses an organization's members without any model; runs there."""
    return TaskOutput(tables={"blind": blind_scores(organization, settings, sequence_length, split_seed)})


def _at_most(tokens: int, settings: MembershipSettings) -> int:
    return tokens if settings.chunk_tokens is None else min(tokens, settings.at_most * settings.chunk_tokens)


def _told_apart(context: RunContext, organization: str) -> dict[str, Any]:
    """The splits whose files are told apart, and what says where they lie in training."""
    stats = context.client_stats[organization]
    return {
        "corpus": [stats.train_fingerprint, stats.valid_fingerprint],
        "tokenizer": context.tokenizer,
        "sequence_length": context.trainer.sequence_length,
        "split_seed": context.split_seed,
    }
