"""Attention of many samples over a prompt that is held once, and over what each of them generated.

The samples of a prompt ask the prompt's keys together (as in Juravsky et al., Hydragen, arXiv 2402.05099). With one new
token a row attention is little arithmetic over many bytes, so what counts is to read keys and values once, in their
order: what is generated lies in blocks, each contiguous over all rows, and everything is a batched product of matrices.
On a CPU that takes a third of the time of the flash kernel, whose tiles are made for many queries.
"""

from typing import Any

import torch
from transformers import AttentionInterface, Cache
from transformers.cache_utils import DynamicLayer

SHARED_PREFIX = "raysim_shared_prefix"
"""Name of the attention implementation that reads `SharedPrefixLayer`."""

# Measured: from 16 to 64 there is little between them.
_BLOCK_TOKENS = 32


class SharedPrefixLayer(DynamicLayer):
    """Keys and values of prompts, and beside them those of what their samples generated.

    Rows are the samples of the first prompt, then those of the second. Legend of shapes: P prompts, S samples of each,
    K key heads, G query heads to each of them, L tokens of the longest prompt, B tokens of a block, D of a head.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, samples: int) -> None:
        """Takes over the cache of prompts.

        Args:
            keys: ``[P, K, L, D]``.
            values: ``[P, K, L, D]``.
            mask: bool ``[P, L]``, False on padding; or None.
            samples: rows of each prompt.
        """
        super().__init__()
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self._samples = samples
        self._prefix = (keys, values)
        self._bias = None if mask is None else keys.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)
        self._blocks: list[tuple[torch.Tensor, torch.Tensor]] = []  # [P, K, S, B, D], the last one filled in part
        self._length = 0

    def get_seq_length(self) -> int:
        """Tokens generated so far."""
        return self._length

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends the states ``[P * S, K, 1, D]`` of one new token a row; what it returns is for `attend` to ignore."""
        prompts, heads, _, dim = self._prefix[0].shape
        at = self._length % _BLOCK_TOKENS
        if at == 0:
            shape = (prompts, heads, self._samples, _BLOCK_TOKENS, dim)
            self._blocks.append((key_states.new_empty(shape), value_states.new_empty(shape)))
        for block, states in zip(self._blocks[-1], (key_states, value_states), strict=True):
            block[:, :, :, at] = states.view(prompts, self._samples, heads, dim).transpose(1, 2)
        self._length += 1
        return key_states, value_states

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps all rows of some prompts."""
        prompts = indices[:: self._samples] // self._samples
        self._prefix = (self._prefix[0][prompts], self._prefix[1][prompts])
        self._bias = None if self._bias is None else self._bias[prompts]
        self._blocks = [(keys[prompts], values[prompts]) for keys, values in self._blocks]

    def attend(self, query: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """Attention of one new token a row over prompt and continuation.

        Args:
            query: ``[P * S, K * G, 1, D]``.
            scaling: of the scores; None: ``D ** -0.5``.

        Returns:
            ``[P * S, 1, K * G, D]``.
        """
        prompts, heads, length, dim = self._prefix[0].shape
        samples, group = self._samples, query.shape[1] // heads
        query = query * (dim**-0.5 if scaling is None else scaling)
        own = query.view(prompts, samples, heads, group, dim).transpose(1, 2).reshape(-1, group, dim)  # [P * K * S, G, D]
        shared = own.view(-1, samples * group, dim)  # [P * K, S * G, D]
        before = torch.bmm(shared, self._prefix[0].view(-1, length, dim).transpose(1, 2))
        if self._bias is not None:
            before.view(prompts, -1, length).add_(self._bias[:, None])
        scores = [before.view(-1, group, length)]
        scores += [torch.bmm(own, keys.view(-1, _BLOCK_TOKENS, dim).transpose(1, 2)) for keys, _ in self._blocks]
        # The rest of the last block holds anything at all.
        weights = torch.cat(scores, 2)[:, :, : length + self._length].softmax(2)
        before, *parts = weights.split([length, *self._lengths()], 2)
        result = torch.bmm(before.reshape(len(shared), -1, length), self._prefix[1].view(-1, length, dim)).view_as(own)
        for part, (_, values) in zip(parts, self._blocks, strict=True):
            result.baddbmm_(part, values.view(-1, _BLOCK_TOKENS, dim)[:, : part.shape[2]])
        return result.view(prompts, heads, samples, group, dim).transpose(1, 2).reshape(query.shape).transpose(1, 2)

    def _lengths(self) -> list[int]:
        """Tokens in each block."""
        return [min(_BLOCK_TOKENS, self._length - at) for at in range(0, self._length, _BLOCK_TOKENS)]


def _shared_prefix_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    *,
    shared_cache: Cache,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What Hugging Face models call: the layer of the cache has `key` and `value` and all before them."""
    layer = shared_cache.layers[module.layer_idx]
    assert isinstance(layer, SharedPrefixLayer)
    return layer.attend(query, scaling), None


AttentionInterface.register(SHARED_PREFIX, _shared_prefix_attention)


def can_share_prefix(model: Any, cache: Cache) -> bool:
    """Whether attention of `model` can be computed by `SharedPrefixLayer`: plain, through the interface."""
    config = model.config
    return (
        config.model_type in ("gpt2", "llama")  # tested with these; others have soft caps, sinks, biases
        and config._attn_implementation == "sdpa"
        and all(type(layer) is DynamicLayer for layer in cache.layers)
    )
