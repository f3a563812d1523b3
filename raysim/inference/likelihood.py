"""How likely a sampling scheme is to draw given tokens, from the logits of one pass over them.

The scheme is that of `raysim.inference.sampling`, which draws from the same distribution.
"""

import torch

from raysim.inference.sampling import penalise_repetition
from raysim.inference.settings import Scheme

PLAIN = Scheme(temperature=1, top_p=1, repetition_penalty=1)
"""Draws from the model's own distribution."""


def log_probabilities(logits: torch.Tensor, tokens: torch.Tensor, scheme: Scheme) -> torch.Tensor:
    """Log-probabilities of the last tokens of a text, each given all tokens before it.

    Args:
        logits: ``[steps, vocabulary]``, of the last `steps` tokens: what the model says before it sees each of them.
        tokens: int64 ``[length]``, the whole text; those before the last `steps` are the prompt.
        scheme: that draws.

    Returns:
        float64 ``[steps]`` in nats, minus infinity where the scheme never draws the token.
    """
    steps, length = len(logits), len(tokens)
    targets = tokens[length - steps :]
    step = torch.arange(steps, device=tokens.device)
    # What is still to come is replaced by a token of the prompt, which does no harm to name twice.
    seen = torch.where(torch.arange(length, device=tokens.device) < length - steps + step[:, None], tokens, tokens[0])
    scores = penalise_repetition(logits.to(torch.float64, copy=True), seen, scheme.repetition_penalty)
    if scheme.temperature == 0:
        return torch.where(scores.argmax(1) == targets, 0.0, -torch.inf).double()
    logs = (scores / scheme.temperature).log_softmax(1)
    found = logs.gather(1, targets[:, None])[:, 0]
    if scheme.top_p == 1:
        return found
    return (found - _nucleus(logs, targets, found, scheme.top_p)).clamp_(max=0)


def _nucleus(logs: torch.Tensor, targets: torch.Tensor, found: torch.Tensor, top_p: float) -> torch.Tensor:
    """Log of the nucleus's mass at each step, infinite where the target is outside.

    The nucleus is the smallest set of likeliest tokens with at least the mass `top_p`; tokens that are equally likely
    count in the order of their ids.
    """
    ids = torch.arange(logs.shape[1], device=logs.device)
    value = found[:, None]
    likelier = (logs > value) | ((logs == value) & (ids < targets[:, None]))
    inside = (logs.exp() * likelier).sum(1) < top_p
    masses = torch.full_like(found, torch.inf)
    rows = inside.nonzero()[:, 0]
    cumulated = logs[rows].sort(1, descending=True).values.exp().cumsum(1)
    last = (cumulated < top_p).sum(1).clamp_(max=logs.shape[1] - 1)
    masses[rows] = cumulated.gather(1, last[:, None])[:, 0].log()
    return masses
