"""Greedy decoding to the bits of Hugging Face's own forward passes, without what they do around each token."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from transformers import DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from raysim.inference.decoder import cache_argument, can_share_prefix
from raysim.inference.families import STEPS


def continue_greedily(model: Any, prefixes: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """The likeliest next token, `num_tokens` times over, whatever it is.

    Args:
        model: a causal language model of Hugging Face.
        prefixes: int64 ``[rows, length]``.
        num_tokens: to add, at least one.

    Returns:
        int64 ``[rows, num_tokens]``.
    """
    logits, step = read_prefixes(model, prefixes)
    chosen = [logits.argmax(-1, keepdim=True)]
    for _ in range(num_tokens - 1):
        chosen.append(step(chosen[-1]).argmax(-1, keepdim=True))
    return torch.cat(chosen, 1)


def read_prefixes(model: Any, prefixes: torch.Tensor) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """One forward pass over prefixes of one length.

    Of the families in `raysim.inference.families` a further token takes the modules and the kernel of attention alone:
    masks, caches and wrappers of a whole model take longer than they do. The bits are the same.

    Args:
        model: a causal language model of Hugging Face.
        prefixes: int64 ``[rows, length]``.

    Returns:
        Logits of the next token ``[rows, vocabulary]``, and a function from that token (int64 ``[rows, 1]``) to those
        of the one after it.
    """
    cache: Any = DynamicCache(config=model.config)
    argument = cache_argument(type(model))

    def call(tokens: torch.Tensor) -> torch.Tensor:
        return model(input_ids=tokens, use_cache=True, logits_to_keep=1, **{argument: cache}).logits[:, -1]

    logits = call(prefixes)
    if not can_share_prefix(model, cache):
        return logits, call
    forward = STEPS[model.config.model_type]
    layers: list[Any] = [_Layer(layer.keys, layer.values) for layer in cache.layers]
    positions = torch.full_like(prefixes[:, 0], prefixes.shape[1] - 1)

    def step(tokens: torch.Tensor) -> torch.Tensor:
        return forward(model, tokens[:, 0], positions.add_(1), layers)

    return logits, step


class _Layer:
    """Keys and values of one layer, under the kernel that Hugging Face uses by default."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Takes over ``[rows, key heads, length, dim]``."""
        self._keys, self._values = keys, values

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """See `raysim.inference.shared_prefix.SharedPrefix.attend`."""
        rows, heads, _, dim = self._keys.shape
        own, new_key, new_value = (part.view(rows, 1, -1, dim).transpose(1, 2) for part in (query, key, value))
        self._keys = torch.cat([self._keys, new_key], dim=-2)
        self._values = torch.cat([self._values, new_value], dim=-2)
        module: Any = SimpleNamespace(num_key_value_groups=own.shape[1] // heads)
        found, _ = sdpa_attention_forward(module, own, self._keys, self._values, None, scaling=scaling)
        return found.reshape(rows, -1)
