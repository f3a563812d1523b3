"""What is reached without any network on the same validation files: a uniform guess, zlib, n-grams. Runs inside the
organization.

A model that does not beat them has learned nothing that counting would not give. All are in bits per byte of the same
text: of a uniform guess over the vocabulary; of zlib file by file, which sees no training data; and of interpolated
Kneser-Ney 5-grams over the same tokens, trained on what a setting is trained on.
"""

import zlib
from collections.abc import Iterable, Sequence
from math import log
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from raysim.core.keys import versions_of
from raysim.core.settings import Settings
from raysim.corpus.corpus import fingerprint
from raysim.corpus.files import SourceFile
from raysim.corpus.packing import PACKING_VERSION
from raysim.measures.base import ClientTask, EvalContext, Measure
from raysim.measures.kneser_ney import KneserNey, Tokens
from raysim.organizations.organization import Organization
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.tables.schemas.runs import BASELINES
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput

BASELINES_VERSION = 1
"""Numerics version; part of the recipes."""

BASELINES_SCHEMA = BASELINES.without("organization")


class BaselineSettings(Settings):
    """What models are held against."""

    order: int = Field(default=5, ge=1, le=9, description="tokens of the longest n-gram")


class Baselines(Measure):
    """Bits per byte of a uniform guess, of zlib and of n-grams on the validation files of every organization."""

    name = "baselines"
    Settings = BaselineSettings
    default = BaselineSettings()
    kinds = (WorkKind("baselines"),)
    tables = (BASELINES,)
    report = ("raysim.report.sections.baselines:section",)

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        """Two for each organization, whatever the model; of pooled code only where everybody shares it."""
        del checkpoint
        run, order, public = context.run, self.settings.order, context.base_references
        names = context.organizations
        shares = len(names) > 1 and all(policy.share == "data" for policy in context.policies.values())
        for name in names:
            for others in ((), tuple(other for other in names if other != name)) if shares else ((),):
                recipe = baselines_recipe(run, (name, *others), public, order)
                about = "n-grams of all code" if others else "baselines"
                arguments = order, public
                yield ClientTask("baselines", name, about, recipe, hold_at, arguments, pooled=others)


def baselines_recipe(
    context: RunContext, organizations: Sequence[str], public: tuple[SourceFile, ...], order: int
) -> dict[str, Any]:
    """Recipe of the baselines on the validation split of the first of `organizations`, of n-grams of all their code."""
    return {
        "kind": "baselines",
        "version": BASELINES_VERSION,
        "corpus": context.client_stats[organizations[0]].valid_fingerprint,
        "trained_on": [context.client_stats[name].train_fingerprint for name in organizations],
        "public": fingerprint(public) if public else None,
        "order": order,
        "tokenizer": context.tokenizer,
        "packing": PACKING_VERSION,
        "split_seed": context.split_seed,
        "sequence_length": context.trainer.sequence_length,
        "libraries": versions_of("tokenizers", "numpy"),
    }


def hold_at(organization: Organization, order: int, public: Sequence[SourceFile], *others: Tokens) -> TaskOutput:
    """Scores an organization's validation split without a network; runs there.

    Args:
        organization: whose validation split.
        order: tokens of the longest n-gram.
        public: what a base was trained on.
        others: packed sequences of the other organizations; none: what takes no training data is scored, too.
    """
    return TaskOutput(tables={"baselines": baselines(organization, order, public, others)})


def baselines(
    organization: Organization, order: int, public: Sequence[SourceFile], others: Sequence[Tokens]
) -> pa.Table:
    """A row a baseline and its training data: sums over the validation files, columns `BASELINES_SCHEMA`."""
    tokenizer, files = organization.tokenizer, organization.corpus.valid
    valid = [_stream(source, organization) for source in files]
    tokens, num_bytes = sum(len(stream) - 1 for stream in valid), sum(source.num_bytes for source in files)
    own = organization.packed.sequences.reshape(-1)
    from_base = [_stream(source, organization) for source in public]
    data = {"own": [own]} if not others else {"together": [own, *(part.reshape(-1) for part in others)]}
    data |= {f"base + {name}": [*from_base, *streams] for name, streams in data.items() if public}
    found: list[tuple[str, str, float]] = []
    if not others:
        bits = sum(8 * len(zlib.compress(source.text.encode(), 9)) for source in files)
        found = [("uniform", "", tokens * log(tokenizer.vocab_size)), ("zlib", "", bits * log(2))]
        data = {**({"base": from_base} if public else {}), **data}
    held_out = np.concatenate(valid)
    for name, streams in data.items():
        model = KneserNey(streams, tokenizer.vocab_size, tokenizer.bos_id, order)
        found.append((f"{order}-gram", name, float(model.nats(held_out).sum())))
    rows: list[dict[str, Any]] = [
        {"split": "valid", "baseline": baseline, "data": name, "nats": nats, "tokens": tokens, "bytes": num_bytes}
        | {"bits_per_byte": nats / log(2) / num_bytes}
        for baseline, name, nats in found
    ]
    return pa.Table.from_pylist(rows, schema=BASELINES_SCHEMA)


def _stream(source: SourceFile, organization: Organization) -> Tokens:
    tokenizer = organization.tokenizer
    return np.array([tokenizer.bos_id, *tokenizer.encode(source.text)], dtype=np.int32)
