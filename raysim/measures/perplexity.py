"""How well a model predicts code: per-file loss and next-token accuracy on validation files, and its training loss.

The training loss is of the checkpoint itself, in eval mode: what an optimizer reports of its steps has dropout in it,
and is of the weights before each step; of an average of clients' weights there is none.

Perplexity is ``exp(nats / tokens)``; bits per byte is ``nats / ln 2 / bytes``, which compares models with different
tokenizers. Neither says whether generated code works.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

from raysim.core.keys import Key, seed_of
from raysim.core.settings import Settings
from raysim.corpus.packing import PACKING_VERSION, PADDING, encode_validation
from raysim.measures.base import ClientTask, EvalContext, Measure
from raysim.measures.when import CheckpointKinds
from raysim.organizations.organization import ModelSpec, Organization
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.model_scores import LOSS
from raysim.tables.schemas.runs import LOSSES
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput
from raysim.training.process_memory import oom_hint
from raysim.training.weights import Flat

if TYPE_CHECKING:
    import torch

LOSS_SCHEMA = LOSSES.without("model", "organization", "split")

LOSSES_VERSION = 1
TRAINING_LOSSES_VERSION = 1
"""Numerics versions; part of the recipes."""


HeldOut = Literal["valid", "test"]
"""Splits whose files are scored."""


class PerplexitySettings(Settings):
    """Loss of every model on every validation file, and on a sample of everyone's training sequences."""

    batch_size: int = pydantic.Field(default=8, description="windows scored together; sums round by it")
    when: CheckpointKinds | None = pydantic.Field(
        default=None, description="which models; unset: all. With very many organizations every model takes long"
    )
    training_sequences: int = pydantic.Field(
        default=32,
        ge=0,
        description="of each organization, drawn once for all models, whose loss is the training loss; 0: not measured",
    )


class Perplexity(Measure):
    """Loss, perplexity and next-token accuracy on the validation files of every organization."""

    name = "perplexity"
    Settings = PerplexitySettings
    default = PerplexitySettings()
    example = "perplexity: {}"
    kinds = tuple(
        WorkKind(name, "score", "scoring", 1.0, flop_per_parameter=2, token_s=1e-5, piece_s=0.02)
        for name in ("losses", "training_losses")
    )
    tables = (LOSSES,)

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        run, batch_size = context.run, self.settings.batch_size
        for name, stats in run.client_stats.items():
            held_out: list[HeldOut] = ["valid"]
            if "test" in stats.splits:
                held_out.append("test")
            for split in held_out:
                yield held_out_task(run, checkpoint.model, name, batch_size, split)
            if self.settings.training_sequences:
                yield training_task(run, checkpoint.model, name, self.settings)

    def scores(self, task: ClientTask, result: pa.Table) -> Mapping[str, float]:
        tokens = sum(result["tokens"].to_pylist())
        return {LOSS: sum(result["nats"].to_pylist()) / tokens} if task.columns["split"] == "valid" and tokens else {}


def held_out_task(context: RunContext, model: Key, organization: str, batch_size: int, split: HeldOut) -> ClientTask:
    """Measures the loss of `model` on one organization's validation or test split."""
    trainer, stats = context.trainer, context.client_stats[organization]
    return ClientTask(
        "losses",
        organization,
        "files",
        scoring_recipe(context, model, organization, batch_size, split),
        score_at,
        (context.spec, trainer.sequence_length, batch_size, trainer.threads, split),
        stats.splits[split]["tokens"],
        columns={"split": split},
    )


def training_task(context: RunContext, model: Key, organization: str, settings: PerplexitySettings) -> ClientTask:
    """Measures the loss of `model` on the sample of an organization's training sequences."""
    sequences = min(settings.training_sequences, context.client_stats[organization].sequences)
    return ClientTask(
        "losses",
        organization,
        "training sequences",
        training_recipe(context, model, organization, settings),
        score_training_at,
        (context.spec, context.split_seed, settings.training_sequences, settings.batch_size, context.trainer.threads),
        sequences * context.trainer.sequence_length,
        columns={"split": "train"},
    )


def scoring_recipe(
    context: RunContext, model: Key, organization: str, batch_size: int, split: HeldOut = "valid"
) -> dict[str, Any]:
    """Recipe of the losses of `model` on one organization's validation or test split."""
    stats = context.client_stats[organization]
    return {
        "kind": "losses",
        "version": LOSSES_VERSION,
        "weights": model,
        "corpus": stats.valid_fingerprint if split == "valid" else stats.test_fingerprint,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "sequence_length": context.trainer.sequence_length,
        "batch_size": batch_size,
        "threads": context.trainer.threads,
        "libraries": context.libraries,
    }


def training_recipe(context: RunContext, model: Key, organization: str, settings: PerplexitySettings) -> dict[str, Any]:
    """Recipe of the loss of `model` on a sample of one organization's training sequences."""
    return {
        "kind": "training_losses",
        "version": TRAINING_LOSSES_VERSION,
        "packing": PACKING_VERSION,
        "weights": model,
        "corpus": context.client_stats[organization].train_fingerprint,
        "split_seed": context.split_seed,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "sequence_length": context.trainer.sequence_length,
        "sequences": settings.training_sequences,
        "batch_size": settings.batch_size,
        "threads": context.trainer.threads,
        "libraries": context.libraries,
    }


def score_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    sequence_length: int,
    batch_size: int,
    threads: int,
    split: HeldOut = "valid",
) -> TaskOutput:
    """Scores an organization's validation or test split; runs there."""
    with oom_hint("measure.perplexity.batch_size"):
        losses = file_losses(organization, weights, spec, sequence_length, batch_size, threads, split)
    return TaskOutput(tables={"losses": losses})


def score_training_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    split_seed: int,
    num_sequences: int,
    batch_size: int,
    threads: int,
) -> TaskOutput:
    """Scores the sample of an organization's training sequences; runs there."""
    with oom_hint("measure.perplexity.batch_size"):
        losses = training_loss(organization, weights, spec, split_seed, num_sequences, batch_size, threads)
    return TaskOutput(tables={"losses": losses})


def training_loss(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    split_seed: int,
    num_sequences: int,
    batch_size: int,
    threads: int,
) -> pa.Table:
    """Runs inside the organization; scores a sample of its training sequences as a trained model saw them, in float32.

    The sample is H(split_seed, corpus): the same for all models, whatever part of the sequences they were trained on.
    Every token of a sequence but its first is predicted, ends of files too, from all before it in the sequence.

    Returns:
        one row without a file: ``nats``, ``tokens`` and ``correct`` over the sample; ``bytes`` of what was predicted.
    """
    import torch

    sequences = organization.packed.sequences
    seed = seed_of(split_seed, "training losses", organization.corpus.train_fingerprint)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(sequences))
    sample = sequences[np.sort(order[:num_sequences])]
    model = organization.scoring_model(spec, weights, threads)
    row: dict[str, Any] = {"file": "", "nats": 0.0, "tokens": 0, "correct": 0, "bytes": 0}
    with torch.inference_mode():
        for start in range(0, len(sample), batch_size):
            for nats, tokens, correct in zip(*_score(model, sample[start : start + batch_size]), strict=True):
                row["nats"] += nats
                row["tokens"] += tokens
                row["correct"] += correct
    row["bytes"] = sum(len(organization.tokenizer.decode(sequence[1:].tolist()).encode()) for sequence in sample)
    return pa.Table.from_pylist([row], schema=LOSS_SCHEMA)


def file_losses(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    sequence_length: int,
    batch_size: int,
    threads: int,
    split: HeldOut = "valid",
) -> pa.Table:
    """Runs inside the organization; scores every file of its validation or test split, in float32.

    A file is cut into windows of `sequence_length` predictions, so that every token is predicted once, from at most
    that much context.

    Returns:
        A row a file: ``file``, ``nats`` (sum over tokens), ``tokens``, ``correct`` (argmax is the next token),
        ``bytes``.
    """
    import torch

    model = organization.scoring_model(spec, weights, threads)
    held_out = organization.corpus.valid if split == "valid" else organization.corpus.test
    files = encode_validation(held_out, organization.tokenizer, sequence_length)
    rows = [{"file": path, "nats": 0.0, "tokens": 0, "correct": 0, "bytes": num_bytes} for path, _, num_bytes in files]
    windows = [(row, window) for row, (_, file_windows, _) in zip(rows, files, strict=True) for window in file_windows]
    with torch.inference_mode():
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            scores = _score(model, np.stack([window for _, window in batch]))
            for (row, _), nats, tokens, correct in zip(batch, *scores, strict=True):
                row["nats"] += nats
                row["tokens"] += tokens
                row["correct"] += correct
    return pa.Table.from_pylist(rows, schema=LOSS_SCHEMA)


def _score(model: "torch.nn.Module", windows: npt.NDArray[np.int32]) -> tuple[list[float], list[int], list[int]]:
    """Nats, tokens and correct predictions of each window ``[batch, sequence_length + 1]``, padding left out."""
    import torch

    ids_BL = torch.from_numpy(windows.astype(np.int64))
    longest = int((ids_BL != PADDING).sum(1).max())
    inputs_BL, targets_BL = ids_BL[:, : longest - 1], ids_BL[:, 1:longest]
    real_BL = targets_BL != PADDING
    # Causal attention never looks at the padding behind a window, so no mask is needed.
    logits_BLV = model(input_ids=inputs_BL.clamp(min=0), use_cache=False).logits.float()
    nats_BL = torch.nn.functional.cross_entropy(
        logits_BLV.transpose(1, 2), targets_BL, ignore_index=PADDING, reduction="none"
    )
    correct_BL = (logits_BLV.argmax(-1) == targets_BL) & real_BL
    return nats_BL.double().sum(1).tolist(), real_BL.sum(1).tolist(), correct_BL.sum(1).tolist()


def perplexity(nats: float, tokens: int = 1) -> float:
    """exp of the mean loss; infinite where it overflows, and no number where the loss is none."""
    mean = nats / tokens
    return math.inf if mean >= 700 else math.exp(mean)
