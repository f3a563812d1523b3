"""The next token of many rows at once: repetition penalty, temperature, nucleus, and a draw with a given uniform.

The distribution is that of Hugging Face's `RepetitionPenaltyLogitsProcessor` (Keskar et al., arXiv 1909.05858), its
temperature and its `TopPLogitsWarper` (Holtzman et al., ICLR 2020, arXiv 1904.09751), in this order. The randomness
comes in as one uniform number a row, so that the same number at the same distribution gives the same token.
"""

import numpy as np
import numpy.typing as npt
import torch

from raysim.recipe import seed_of

# A nucleus seldom holds more tokens than the first of these, hardly ever more than the second; then all are sorted.
_NUCLEUS_SIZES = (8, 64)


def sample_uniforms(seed: int, prompts: list[str], num_samples: int, num_tokens: int) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1): float64 ``[len(prompts) * num_samples, num_tokens]``, samples of a prompt in a row.

    Each sample has a stream of its own, which depends on neither the model nor the other rows.
    """
    rows = [
        np.random.Generator(np.random.Philox(seed_of(seed, "sample", prompt, number))).random(num_tokens)
        for prompt in prompts
        for number in range(num_samples)
    ]
    return np.stack(rows) if rows else np.zeros((0, num_tokens))


def penalise_repetition(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Divides positive logits of seen tokens by `penalty`, multiplies negative ones.

    Args:
        logits: float32 ``[rows, vocabulary]``.
        seen: int64 ``[rows, length]``, the tokens of prompt and continuation; it does no harm to name one twice.
        penalty: 1 changes nothing.
    """
    if penalty == 1:
        return logits
    scores = logits.gather(1, seen)
    return logits.scatter(1, seen, torch.where(scores < 0, scores * penalty, scores / penalty))


def draw(logits: torch.Tensor, uniforms: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Draws one token a row by the inverse of the cumulative distribution, tokens ordered from likely to unlikely.

    Args:
        logits: float32 ``[rows, vocabulary]``.
        uniforms: float64 ``[rows]`` in [0, 1).
        temperature: 0 takes the likeliest token, whatever the uniforms.
        top_p: the nucleus is the smallest set of likeliest tokens with at least this mass; never empty.

    Returns:
        int64 ``[rows]``.
    """
    if temperature == 0:
        return logits.argmax(1)
    scaled = logits / temperature
    total = scaled.logsumexp(1, keepdim=True)
    vocabulary = logits.shape[1]
    tokens = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    rows = torch.arange(len(logits), device=logits.device)
    for size in (*_NUCLEUS_SIZES, vocabulary):
        if not len(rows):
            break
        every = size >= vocabulary
        part = scaled if len(rows) == len(scaled) else scaled[rows]
        values, names = part.sort(dim=1, descending=True, stable=True) if every else part.topk(size, 1)
        cumulated = (values - total[rows]).double().exp().cumsum(1)
        # With the mass of these tokens at top_p, the nucleus is among them.
        enough = cumulated[:, -1] >= top_p
        whole = every or bool(enough.all())
        if not whole:
            values, names, cumulated = values[enough], names[enough], cumulated[enough]
        done = rows if whole else rows[enough]
        # The first token that brings the mass to top_p is the last of the nucleus.
        last = (cumulated < top_p).sum(1).clamp_(max=cumulated.shape[1] - 1)
        target = uniforms[done] * cumulated.gather(1, last[:, None])[:, 0]
        chosen = torch.minimum((cumulated <= target[:, None]).sum(1), last)
        tokens[done] = names.gather(1, chosen[:, None])[:, 0]
        if whole:
            break
        rows = rows[~enough]
    return tokens
