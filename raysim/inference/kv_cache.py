"""A Hugging Face cache that is filled once for each prompt and grows in place; a `DynamicCache` copies at each step."""

from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer


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


def share_out(cache: Cache, samples: int, room: int) -> None:
    """Converts the filled `DynamicCache` of prompts into one of their samples, in place.

    Args:
        cache: of ``prompts`` rows.
        samples: rows of each prompt afterwards, one after the other.
        room: tokens to come.
    """
    layer: Any
    for number, layer in enumerate(cache.layers):
        keys, values = layer.keys, layer.values
        if type(layer) is not DynamicLayer or keys is None or values is None:
            layer.batch_repeat_interleave(samples)  # sliding windows, recurrent states
        else:
            grown = PreallocatedLayer(keys, len(keys) * samples, keys.shape[2] + room)
            grown.update(keys.repeat_interleave(samples, 0), values.repeat_interleave(samples, 0))
            cache.layers[number] = grown
