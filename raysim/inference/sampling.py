"""The next token of many rows at once: repetition penalty, temperature, nucleus, and a draw with a given uniform.

The distribution is that of Hugging Face's `RepetitionPenaltyLogitsProcessor` (Keskar et al., arXiv 1909.05858), its
temperature and its `TopPLogitsWarper` (Holtzman et al., ICLR 2020, arXiv 1904.09751), in this order. The randomness
comes in as one uniform number a row, so that the same number at the same distribution gives the same token.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from raysim.core.keys import seed_of

# A nucleus seldom holds more tokens than this; where it does, all are sorted.
_USUAL_NUCLEUS = 64
# Up to here to sort all masses costs little more than to find the largest.
_SMALL_VOCABULARY = 2048


def sample_uniforms(seed: int, prompts: list[str], num_samples: int, num_tokens: int) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1): float64 ``[len(prompts) * num_samples, num_tokens]``, samples of a prompt in a row.

    Each sample has a stream of its own, which depends on neither the model nor the other rows.
    """
    rows = [
        _uniforms(num_tokens, seed, "sample", prompt, number) for prompt in prompts for number in range(num_samples)
    ]
    return np.stack(rows) if rows else np.zeros((0, num_tokens))


def redrawn_uniforms(
    seed: int, samples: Sequence[tuple[str, int]], attempt: int, num_tokens: int
) -> npt.NDArray[np.float64]:
    """Other such numbers for the `attempt` (from 1) to draw some samples (prompt, number) anew; a row for each."""
    return np.stack([_uniforms(num_tokens, seed, "sample", *sample, "attempt", attempt) for sample in samples])


def _uniforms(count: int, *purpose: str | int) -> npt.NDArray[np.float64]:
    return np.random.Generator(np.random.Philox(seed_of(*purpose))).random(count)


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
    # Which of the two is the smaller depends on the sign alone; this takes half the time of asking for the sign.
    smaller = torch.minimum if penalty > 1 else torch.maximum
    return logits.scatter_(1, seen, smaller(scores * penalty, scores / penalty))


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
    masses = (logits / temperature).softmax(1)
    vocabulary = masses.shape[1]
    likeliest = masses.amax(1, keepdim=True)
    # A model that is sure of its next token, as one that recites is, has a nucleus of one.
    chosen, equals = likeliest.clone(), torch.zeros_like(likeliest, dtype=torch.int64)
    pending = likeliest[:, 0] < top_p
    for size in (vocabulary,) if vocabulary <= _SMALL_VOCABULARY else (_USUAL_NUCLEUS, vocabulary):
        # Where as many tokens as the likeliest would not suffice, no search among the first few does.
        rows = (pending & (likeliest[:, 0] * size >= top_p) if size < vocabulary else pending).nonzero()[:, 0]
        if len(rows):
            largest = _largest(masses if len(rows) == len(masses) else masses[rows], size)
            cumulated = largest.cumsum(1, dtype=torch.float64)
            inside = (cumulated[:, -1] >= top_p) | (size >= vocabulary)
            if not bool(inside.all()):
                rows, largest, cumulated = rows[inside], largest[inside], cumulated[inside]
            places = _choose(cumulated, uniforms[rows, None], top_p)
            chosen[rows] = largest.gather(1, places)
            equals[rows] = torch.searchsorted(largest, chosen[rows], right=True) - 1 - places
            pending[rows] = False
    return _name(masses, chosen, equals[:, 0])


def _largest(masses: torch.Tensor, size: int) -> torch.Tensor:
    """The `size` largest masses of each row in ascending order."""
    if masses.device.type != "cpu":
        return masses.topk(size, 1).values.flip(1)
    # NumPy's vectorised partition and sort take a tenth of the time of torch's on a CPU, and less for integers, which
    # are ordered as the positive numbers of the same bits.
    bits = masses.numpy().view(np.int32)
    if size < bits.shape[1]:
        bits = np.partition(bits, -size, axis=1)[:, -size:]
    return torch.from_numpy(np.sort(bits, axis=1).view(np.float32))


def _choose(cumulated: torch.Tensor, uniforms: torch.Tensor, top_p: float) -> torch.Tensor:
    """Place, in ascending order, of the token inside the nucleus on which each uniform falls: int64 ``[rows, 1]``.

    Args:
        cumulated: float64 ``[rows, size]``, the mass up to each place.
        uniforms: float64 ``[rows, 1]``, of which 0 is the likeliest token's.
        top_p: see `draw`.
    """
    last = cumulated.shape[1] - 1
    total = cumulated[:, -1:]
    # The first token, from the likeliest on, that brings the mass to top_p is the last of the nucleus.
    first = torch.searchsorted(cumulated, total - top_p, right=True).clamp_(max=last)
    outside = torch.where(first > 0, cumulated.gather(1, (first - 1).clamp_(min=0)), 0)
    target = total - uniforms * (total - outside)
    return torch.searchsorted(cumulated, target).clamp_(max=last).maximum(first)


def _name(masses: torch.Tensor, chosen: torch.Tensor, equals: torch.Tensor) -> torch.Tensor:
    """The token of each row that has the mass `chosen` ``[rows, 1]`` and behind `equals` others of that mass."""
    # NumPy compares and finds in a fifth of the time of torch on a CPU.
    if masses.device.type == "cpu":
        equal = torch.from_numpy(masses.numpy() == chosen.numpy())
        tokens = torch.from_numpy(equal.numpy().argmax(1))
    else:
        equal = masses == chosen
        tokens = equal.to(torch.uint8).argmax(1)
    # In bfloat16 ties are common.
    tied = equals.nonzero()[:, 0]
    if len(tied):
        nth = equal[tied].cumsum(1) > equals[tied, None]
        tokens[tied] = nth.to(torch.uint8).argmax(1)
    return tokens
