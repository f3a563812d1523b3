"""The goldfish loss: tokens that a model never learns to predict, so that it cannot recite what leads past them.

Hans, Wen, Jain, Kirchenbauer, Kazemi, Singhania, Singh, Somepalli, Geiping, Bhatele & Goldstein: Be like a Goldfish,
Don't Memorize!, NeurIPS 2024, arXiv 2406.10209, section 3.1: a token counts in the loss unless a hash of the tokens
before it says otherwise, for one in k of them. The hash sees nothing else, so a passage loses the same tokens wherever
it stands, also where it is copied.
"""

from typing import TYPE_CHECKING

import pydantic

from raysim.core.settings import Settings

if TYPE_CHECKING:
    import torch

_MULTIPLIER = 0x5851F42D4C957F2D
"""Of the polynomial over a token's context, modulo 2^64: Knuth, MMIX."""
_FINISHER = 0x2545F4914F6CDD1D
"""Mixes the polynomial's upper half into what decides: Vigna, xorshift64*."""


class GoldfishSettings(Settings):
    """How many tokens the goldfish loss leaves out, and by what."""

    k: int = pydantic.Field(default=4, ge=2, le=1000, description="one token in so many is left out of the loss")
    context: int = pydantic.Field(
        default=13, ge=1, le=256, description="tokens before it that decide; shorter ones drop common phrases, too"
    )


def kept_targets(ids: "torch.Tensor", settings: GoldfishSettings) -> "torch.Tensor":
    """Which tokens count, bool ``[rows, sequence_length - 1]``, of the targets that follow each token but the last.

    A target with fewer than `context` tokens before it counts.

    Args:
        ids: token ids, int64 ``[rows, sequence_length]``.
        settings: of the loss.
    """
    import torch

    kept = torch.ones_like(ids[:, 1:], dtype=torch.bool)
    num_hashed = ids.shape[1] - settings.context
    if num_hashed < 1:
        return kept
    state = torch.zeros_like(ids[:, :num_hashed])
    for place in range(settings.context):
        state = state * _MULTIPLIER + ids[:, place : place + num_hashed] + 1  # integers wrap around
    state = (state ^ (state >> 32)) * _FINISHER
    kept[:, settings.context - 1 :] = ((state >> 33) & 0x3FFFFFFF) % settings.k != 0
    return kept


def goldfish_loss(logits: "torch.Tensor", ids: "torch.Tensor", settings: GoldfishSettings) -> "torch.Tensor":
    """Mean over rows of each row's mean loss in nats over the tokens that count, so that rows may be cut into pieces.

    Args:
        logits: ``[rows, sequence_length, vocab_size]``.
        ids: token ids, int64 ``[rows, sequence_length]``.
        settings: of the loss.
    """
    import torch

    kept = kept_targets(ids, settings)
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
    )
    return ((losses.view(kept.shape) * kept).sum(1) / kept.sum(1).clamp(min=1)).mean()
