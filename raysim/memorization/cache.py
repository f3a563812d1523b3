"""A key-value cache that is filled once for each prompt, shared by its samples, and grows in place.

`DynamicCache` copies all keys and values at every token, and would hold those of a prompt once for each sample. Here
what the samples generate goes into buffers of its final length, and on a CPU attention reads the prompt's part once for
all samples of the prompt (as in Juravsky et al., Hydragen, arXiv 2402.05099): the softmax over both parts is put
together from the two partial ones by their log-sum-exp. Models see a Hugging Face cache as ever.
"""

from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from raysim.memorization.shared_prefix import SharedPrefixLayer


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
            cache.layers[number] = SharedPrefixLayer(keys, values, mask, samples)
        else:
            copy = PreallocatedLayer(keys, len(keys) * samples, keys.shape[2] + room)
            copy.update(keys.repeat_interleave(samples, 0), values.repeat_interleave(samples, 0))
            cache.layers[number] = copy
