"""A key-value cache that is filled once for each prompt, shared out to its samples, and then grows in place.

`DynamicCache` copies all keys and values at every token; these layers are allocated at their final length and hand out
views. Models see a Hugging Face cache as ever, so this works for every architecture; layers of other kinds (sliding
windows, recurrent states) stay as they are.
"""

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class PreallocatedLayer(DynamicLayer):
    """A `DynamicLayer` whose keys and values are views of buffers ``[rows, heads, capacity, head_dim]``."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, repeats: int, new_tokens: int) -> None:
        """Takes over `keys` and `values` ``[prompts, heads, length, head_dim]``, each prompt repeated `repeats` times."""
        super().__init__()
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.length = keys.shape[2]
        self._buffers = tuple(_allocate(states, repeats, new_tokens) for states in (keys, values))
        self._expose()

    def _expose(self) -> None:
        self.keys, self.values = (buffer[:, :, : self.length] for buffer in self._buffers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends the states of the new tokens and returns those of all tokens."""
        end = self.length + key_states.shape[2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.length : end] = states
        self.length = end
        self._expose()
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps some rows only."""
        self._buffers = tuple(buffer.index_select(0, indices) for buffer in self._buffers)
        self._expose()


def _allocate(states: torch.Tensor, repeats: int, new_tokens: int) -> torch.Tensor:
    prompts, heads, length, head_dim = states.shape
    buffer = states.new_empty((prompts, repeats, heads, length + new_tokens, head_dim))
    buffer[:, :, :, :length] = states[:, None]
    return buffer.view(prompts * repeats, heads, length + new_tokens, head_dim)


def share_out(cache: Cache, repeats: int, new_tokens: int) -> None:
    """Repeats each row of a filled `DynamicCache` in place, with room for `new_tokens` more tokens."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            cache.layers[number] = PreallocatedLayer(layer.keys, layer.values, repeats, new_tokens)
        else:
            layer.batch_repeat_interleave(repeats)
