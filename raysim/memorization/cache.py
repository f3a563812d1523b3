"""A key-value cache that is filled once for each prompt, shared by its samples, and grows in place.

`DynamicCache` copies all keys and values at every token, and would hold those of a prompt once for each sample. Here
what the samples generate goes into buffers of its final length, and on a CPU attention reads the prompt's part once for
all samples of the prompt (as in Juravsky et al., Hydragen, arXiv 2402.05099): the softmax over both parts is put
together from the two partial ones by their log-sum-exp. Models see a Hugging Face cache as ever.
"""

from typing import Any

import torch
from transformers import AttentionInterface, Cache
from transformers.cache_utils import DynamicLayer

SHARED_PREFIX = "raysim_shared_prefix"
"""Name of the attention implementation that reads `SharedPrefixLayer`."""


class PreallocatedLayer(DynamicLayer):
    """A `DynamicLayer` whose keys and values are views of buffers ``[rows, heads, capacity, head_dim]``."""

    def __init__(self, like: torch.Tensor, rows: int, capacity: int) -> None:
        """Starts empty, with the heads, dtype and device of `like` ``[*, heads, *, head_dim]``."""
        super().__init__()
        self.dtype, self.device = like.dtype, like.device
        self.is_initialized = True
        shape = (rows, like.shape[1], capacity, like.shape[3])
        self._buffers = (like.new_empty(shape), like.new_empty(shape))
        self._length = 0
        self._expose()

    def _expose(self) -> None:
        self.keys, self.values = (buffer[:, :, : self._length] for buffer in self._buffers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends the states of new tokens and returns those of all."""
        end = self._length + key_states.shape[2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, self._length : end] = states
        self._length = end
        self._expose()
        return self._buffers[0][:, :, :end], self._buffers[1][:, :, :end]

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps some rows only."""
        self._buffers = (self._buffers[0].index_select(0, indices), self._buffers[1].index_select(0, indices))
        self._expose()


class SharedPrefixLayer(PreallocatedLayer):
    """Keys and values of what was generated; those of the prompts are held once, beside them."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, samples: int, room: int):
        """Takes over `keys` and `values` ``[prompts, heads, length, head_dim]``, with room for `room` tokens more.

        Args:
            keys: of the prompts.
            values: of the prompts.
            mask: bool ``[prompts, length]``, False on padding; or None.
            samples: rows of each prompt, one after the other.
            room: tokens to come, for each row.
        """
        super().__init__(keys, len(keys) * samples, room)
        self._samples = samples
        self._prefix = (keys, values)
        self._bias = None
        if mask is not None:
            self._bias = torch.zeros(mask.shape, dtype=keys.dtype).masked_fill_(~mask, -torch.inf)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps all rows of some prompts."""
        super().batch_select_indices(indices)
        prompts = indices[:: self._samples] // self._samples
        self._prefix = (self._prefix[0].index_select(0, prompts), self._prefix[1].index_select(0, prompts))
        self._bias = None if self._bias is None else self._bias.index_select(0, prompts)

    def attend(self, query: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """Attention of one new token a row over prompt and continuation.

        Args:
            query: ``[rows, query_heads, 1, head_dim]``; query heads share key heads in groups of equal size.
            scaling: of the scores; None: ``head_dim ** -0.5``.

        Returns:
            ``[rows, 1, query_heads, head_dim]``.
        """
        rows, query_heads, _, dim = query.shape
        heads, samples = self._prefix[0].shape[1], self._samples
        prompts, group = rows // samples, query_heads // heads
        # A query for each sample and each query head of the group, all against the same keys.
        shared = query.view(prompts, samples, heads, group, dim).transpose(1, 2).reshape(prompts, heads, -1, dim)
        bias = self._bias
        if bias is not None:
            bias = bias[:, None, None, :].expand(-1, 1, shared.shape[2], -1)
        before, before_lse = _attend(shared, *self._prefix, bias, scaling)
        before = before.view(prompts, heads, samples, group, dim).transpose(1, 2)
        before_lse = before_lse.view(prompts, heads, samples, group).transpose(1, 2)
        own, own_lse = _attend(query.reshape(rows, heads, group, dim), self.keys, self.values, None, scaling)
        own, own_lse = own.view(prompts, samples, heads, group, dim), own_lse.view(prompts, samples, heads, group)
        weight = torch.sigmoid(before_lse - own_lse)[..., None].to(own.dtype)
        return torch.lerp(own, before, weight).reshape(rows, 1, query_heads, dim)


def _attend(
    query: torch.Tensor, keys: Any, values: Any, bias: torch.Tensor | None, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention and the log-sum-exp of its scores ``[batch, heads, queries]``, by the kernel behind torch's own."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, keys, values, attn_mask=bias, scale=scaling
    )


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
    """What Hugging Face models call: `key` and `value` are those generated, which the layer holds too."""
    layer = shared_cache.layers[module.layer_idx]
    assert isinstance(layer, SharedPrefixLayer)
    return layer.attend(query, scaling), None


AttentionInterface.register(SHARED_PREFIX, _shared_prefix_attention)


def can_share_prefix(model: Any, cache: Cache) -> bool:
    """Whether attention of `model` can be computed by `SharedPrefixLayer`: plain, on a CPU, through the interface."""
    config = model.config
    return (
        model.device.type == "cpu"
        and config.model_type in ("gpt2", "llama")  # tested with these; others have soft caps, sinks, biases
        and config._attn_implementation == "sdpa"
        and all(type(layer) is DynamicLayer for layer in cache.layers)
    )


def share_out(cache: Cache, mask: torch.Tensor | None, samples: int, room: int, share_prefix: bool) -> None:
    """Turns the filled `DynamicCache` of prompts into one of their samples, in place.

    Args:
        cache: of ``prompts`` rows.
        mask: bool ``[prompts, length]``, False on padding; or None.
        samples: rows of each prompt afterwards.
        room: tokens to come.
        share_prefix: by `SharedPrefixLayer`, for models called with `SHARED_PREFIX`; else any attention will do.
    """
    layer: Any
    for number, layer in enumerate(cache.layers):
        keys, values = layer.keys, layer.values
        if type(layer) is not DynamicLayer or keys is None or values is None:
            layer.batch_repeat_interleave(samples)  # sliding windows, recurrent states
        elif share_prefix:
            cache.layers[number] = SharedPrefixLayer(keys, values, mask, samples, room)
        else:
            copy = PreallocatedLayer(keys, len(keys) * samples, keys.shape[2] + room)
            copy.update(keys.repeat_interleave(samples, 0), values.repeat_interleave(samples, 0))
            cache.layers[number] = copy
