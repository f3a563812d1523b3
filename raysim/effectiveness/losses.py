"""How well a model predicts code that it was not trained on: per-file loss and next-token accuracy.

Perplexity is ``exp(nats / tokens)``; bits per byte is ``nats / ln 2 / bytes``, which compares models with different tokenizers.
Neither says whether generated code works.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raysim.config import Settings
from raysim.corpus.packing import encode_validation
from raysim.training.organization import ModelSpec, Organization
from raysim.training.weights import Flat, assign

if TYPE_CHECKING:
    import torch

LOSSES_VERSION = 1
"""Numerics version; part of the recipe."""


class PerplexitySettings(Settings):
    """Scoring of the validation files."""

    batch_size: int = 8


def losses_recipe(
    weights: str, valid_fingerprint: str, model: dict[str, Any], tokenizer: str, length: int, batch_size: int, torch: str
) -> dict[str, Any]:
    """Recipe of the losses of one model on one organization's validation split."""
    return {
        "kind": "losses",
        "version": LOSSES_VERSION,
        "weights": weights,
        "corpus": valid_fingerprint,
        "model": model,
        "tokenizer": tokenizer,
        "sequence_length": length,
        "batch_size": batch_size,
        "torch": torch,
    }


def file_losses(
    organization: Organization, weights: Flat, spec: ModelSpec, sequence_length: int, batch_size: int, threads: int
) -> pa.Table:
    """Runs inside the organization; scores every validation file, in float32.

    A file is cut into windows of ``sequence_length - 1`` tokens, each behind its own BOS, so that every token is predicted
    once, from at most that much context.

    Returns:
        A row a file: ``file``, ``nats`` (sum over tokens), ``tokens``, ``correct`` (argmax is the next token), ``bytes``.
    """
    import torch

    torch.set_num_threads(threads)
    model = organization.model(spec).to("cpu").eval()
    assign(model, weights)
    rows: dict[str, list[Any]] = {name: [] for name in ("file", "nats", "tokens", "correct", "bytes")}
    windows: list[tuple[int, np.ndarray]] = []
    for number, (path, ids, num_bytes) in enumerate(
        encode_validation(organization.corpus.valid, organization.tokenizer, sequence_length)
    ):
        for name, value in zip(rows, (path, 0.0, len(ids), 0, num_bytes), strict=True):
            rows[name].append(value)
        step = sequence_length - 1
        windows += [(number, ids[start : start + step]) for start in range(0, len(ids), step)]
    # Windows of like length go together, so that little is padded; the order is a pure function of the corpus.
    windows.sort(key=lambda w: (-len(w[1]), w[0]))
    with torch.inference_mode():
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            for (number, _), nats, correct in zip(batch, *_score(model, [ids for _, ids in batch], spec.bos_id), strict=True):
                rows["nats"][number] += nats
                rows["correct"][number] += correct
    return pa.table(rows)


def _score(model: "torch.nn.Module", windows: list[np.ndarray], bos_id: int) -> tuple[list[float], list[int]]:
    """Nats and correct predictions of each window of token ids, right-padded to the longest."""
    import torch

    longest = max(len(ids) for ids in windows)
    ids_BL = torch.full((len(windows), longest + 1), bos_id, dtype=torch.int64)
    real_BL = torch.zeros((len(windows), longest), dtype=torch.bool)
    for row, ids in enumerate(windows):
        ids_BL[row, 1 : len(ids) + 1] = torch.from_numpy(ids.astype(np.int64))
        real_BL[row, : len(ids)] = True
    # Causal attention never looks at the padding behind a window, so no mask is needed.
    logits_BLV = model(input_ids=ids_BL[:, :-1], use_cache=False).logits.float()
    targets_BL = ids_BL[:, 1:]
    nats_BL = torch.nn.functional.cross_entropy(logits_BLV.transpose(1, 2), targets_BL, reduction="none")
    correct_BL = (logits_BLV.argmax(-1) == targets_BL) & real_BL
    nats = (nats_BL.double() * real_BL).sum(1)
    return [float(x) for x in nats], [int(x) for x in correct_BL.sum(1)]


def perplexity(nats: float, tokens: int) -> float:
    """exp of the mean loss; infinite where it overflows."""
    mean = nats / tokens
    return math.exp(mean) if mean < 700 else math.inf
