"""What a model makes of sequence canaries, for a lower bound of epsilon. Runs inside the organization.

The loss of each canary is measured of models and, once, of what they all started from: by how much it has fallen is the
attacker's score (`raysim.analysis.privacy_audits`). An attacker who sees gradients or uploads could tell more, so that
the bound may be far below the true epsilon; a bound of zero proves nothing.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pydantic
from pydantic import Field

from raysim.core.keys import Key
from raysim.core.settings import Settings
from raysim.corpus.sequence_canaries import SequenceCanarySettings
from raysim.inference.scoring import score_tokens
from raysim.measures.base import ClientTask, EvalContext, Measure, MeasureScope
from raysim.measures.when import CheckpointKinds
from raysim.organizations.organization import ModelSpec, Organization
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.tables.schemas.audits import SEQUENCE_CANARIES
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput
from raysim.training.process_memory import oom_hint
from raysim.training.weights import Flat

PRIVACY_AUDIT_VERSION = 1
"""Numerics version; part of the recipe."""

_SCHEMA = SEQUENCE_CANARIES.without("model", "organization")


class PrivacyAuditSettings(Settings):
    """How sequence canaries are scored, and how many of their coins are guessed."""

    guesses: int | None = Field(
        default=None,
        ge=2,
        description="coins to guess of each organization's canaries: half of them of the highest scores, half of the"
        " lowest; unset: a third of the canaries. To be chosen before the run",
    )
    delta: float = Field(
        default=1e-5,
        gt=0,
        lt=1,
        description="of the bound for models without a guarantee, which have no delta",
    )
    batch_size: int = Field(default=16, ge=1, description="sequences scored together; sums round by it")
    when: CheckpointKinds = Field(default=("final",), description="which of a strategy's models are measured")

    @pydantic.field_validator("guesses")
    @classmethod
    def _even(cls, guesses: int | None) -> int | None:
        if guesses is not None and guesses % 2:
            raise ValueError(f"half are of the highest scores and half of the lowest; write {guesses + 1}")
        return guesses

    def guesses_of(self, canaries: int) -> int:
        """Coins to guess of so many canaries."""
        return canaries // 6 * 2 if self.guesses is None else self.guesses


class PrivacyAudit(Measure):
    """Losses of sequence canaries, those that were put in and those that were not: a lower bound of epsilon."""

    name = "privacy_audit"
    Settings = PrivacyAuditSettings
    default = PrivacyAuditSettings()
    kinds = (WorkKind("privacy_audit", "score", "auditing", 1.0, flop_per_parameter=2, token_s=1e-5, piece_s=0.02),)
    tables = (SEQUENCE_CANARIES,)

    def check(self, scope: MeasureScope) -> None:
        """Refuses more guesses than there are canaries."""
        planted = scope.sequence_canaries
        if planted and self.settings.guesses_of(planted.count) > planted.count:
            raise ValueError(
                f"privacy_audit.guesses: {self.settings.guesses} of {planted.count} canaries; guess fewer, or raise"
                " sequence_canaries.count"
            )

    def applies(self, scope: MeasureScope) -> bool:
        """Only where there are sequence canaries."""
        return scope.sequence_canaries is not None

    def wants(self, checkpoint: ModelCheckpoint) -> bool:
        """As the setting ``when`` says, and what training started from, with which losses are compared."""
        return checkpoint.moment == "initial" or super().wants(checkpoint)

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        planted, run = context.sequence_canaries, context.run
        assert planted is not None, "there are canaries"
        for name in filter(planted.planted_in, context.organizations):
            recipe = audit_recipe(run, checkpoint.model, name, planted, self.settings.batch_size)
            arguments = (run.spec, self.settings.batch_size, run.trainer.threads)
            tokens = planted.count * run.trainer.sequence_length
            yield ClientTask("sequence_canaries", name, "sequence canaries", recipe, audit_at, arguments, tokens)


def audit_recipe(
    context: RunContext, model: Key, organization: str, planted: SequenceCanarySettings, batch_size: int
) -> dict[str, Any]:
    """Recipe of the losses of `model` on an organization's sequence canaries, which do not depend on its code."""
    return {
        "kind": "privacy_audit",
        "version": PRIVACY_AUDIT_VERSION,
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "organization": organization,
        "canaries": planted.recipe(),
        "sequence_length": context.trainer.sequence_length,
        "split_seed": context.split_seed,
        "batch_size": batch_size,
        "threads": context.trainer.threads,
        "libraries": context.libraries,
    }


def audit_at(organization: Organization, weights: Flat, spec: ModelSpec, batch_size: int, threads: int) -> TaskOutput:
    """Scores an organization's sequence canaries; runs there."""
    canaries = organization.sequence_canaries
    with oom_hint("measure.privacy_audit.batch_size"):
        model = organization.scoring_model(spec, weights, threads)
        scores = score_tokens(model, list(canaries.tokens), batch_size)
    rows = [
        {"canary": number, "included": bool(included), "nats": float(-score.log_probs.sum())}
        for number, (included, score) in enumerate(zip(canaries.included, scores, strict=True))
    ]
    return TaskOutput(tables={"sequence_canaries": pa.Table.from_pylist(rows, schema=_SCHEMA)})
