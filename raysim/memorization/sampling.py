"""The next token of many rows at once: repetition penalty, temperature, nucleus, and a draw with a given uniform.

The distribution is that of Hugging Face's `RepetitionPenaltyLogitsProcessor` (Keskar et al., arXiv 1909.05858), its
temperature and its `TopPLogitsWarper` (Holtzman et al., ICLR 2020, arXiv 1904.09751), in this order. The randomness
comes in as one uniform number a row, so that the same number at the same distribution gives the same token.
"""

import numpy as np
import numpy.typing as npt
import torch

from raysim.recipe import seed_of

# A nucleus seldom holds more tokens than this; where it does, all are sorted.
_USUAL_NUCLEUS = 64


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
    """Divides positive logits of seen tokens by `penalty`, multiplies negative ones, in place.

    Args:
        logits: float32 ``[rows, vocabulary]``.
        seen: int64 ``[rows, length]``, the tokens of prompt and continuation; it does no harm to name one twice.
        penalty: 1 changes nothing.
    """
    if penalty == 1:
        return logits
    scores = logits.gather(1, seen)
    return logits.scatter_(1, seen, torch.where(scores < 0, scores * penalty, scores / penalty))


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
    total = scaled.logsumexp(1)
    likeliest, tokens = scaled.max(1)
    # A model that is sure of its next token, as one that recites is, has a nucleus of one.
    rows = (_mass(likeliest, total) < top_p).nonzero()[:, 0]
    for size in (_USUAL_NUCLEUS, logits.shape[1]):
        if not len(rows):
            break
        part = scaled[rows]
        every = size >= part.shape[1]
        values = _largest(part, min(size, part.shape[1]))
        cumulated = _mass(values, total[rows, None]).cumsum(1)
        inside = torch.full_like(rows, every, dtype=torch.bool) | (cumulated[:, -1] >= top_p)
        chosen = _choose(cumulated[inside], uniforms[rows[inside]], top_p)
        tokens[rows[inside]] = _name(part[inside], values[inside], chosen)
        rows = rows[~inside]
    return tokens


def _mass(scaled: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    return (scaled.double() - total).exp()


def _largest(scaled: torch.Tensor, size: int) -> torch.Tensor:
    """The `size` largest values of each row in descending order."""
    if scaled.device.type != "cpu":
        return scaled.topk(size, 1).values
    # NumPy's vectorised partition and sort take a tenth of the time of torch's on a CPU.
    values = scaled.numpy()
    rest = values.shape[1] - size
    values = np.partition(values, rest, axis=1)[:, rest:] if rest else values
    return torch.from_numpy(np.sort(values, axis=1)[:, ::-1].copy())


def _choose(cumulated: torch.Tensor, uniforms: torch.Tensor, top_p: float) -> torch.Tensor:
    """Rank (from 0) of the token that each uniform falls on inside the nucleus, given the masses up to each rank."""
    # The first token that brings the mass to top_p is the last of the nucleus.
    last = (cumulated < top_p).sum(1).clamp_(max=cumulated.shape[1] - 1)
    target = uniforms * cumulated.gather(1, last[:, None])[:, 0]
    return torch.minimum((cumulated <= target[:, None]).sum(1), last)


def _name(scaled: torch.Tensor, values: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
    """The tokens at `ranks` of the descending order; tokens of equal logits count in the order of their ids."""
    value = values.gather(1, ranks[:, None])
    equal = scaled == value
    tokens = equal.to(torch.uint8).argmax(1)
    # In bfloat16 ties are common: then the rank among the equals decides.
    earlier = ranks - (values > value).sum(1)
    tied = earlier.nonzero()[:, 0]
    if len(tied):
        nth = equal[tied].cumsum(1) > earlier[tied, None]
        tokens[tied] = nth.to(torch.uint8).argmax(1)
    return tokens
