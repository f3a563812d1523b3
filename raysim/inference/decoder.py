"""Reads a batch of prompts once, and then goes on token by token with several samples of each.

Two decoders do that behind one interface, on any device: `SharedPrefixDecoder` for the families whose forward pass is
written out, `CacheDecoder` for any other causal language model of Hugging Face.
"""

import functools
import inspect
from typing import Any, Protocol

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from raysim.inference.families import STEPS
from raysim.inference.kv_cache import share_out
from raysim.inference.shared_prefix import SharedPrefix


class Decoder(Protocol):
    """Continues rows: the samples of the first prompt, then those of the second."""

    def step(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits float32 ``[rows, vocabulary]`` after one more token a row; `tokens`, `positions`: int64 ``[rows]``."""
        ...

    def select(self, prompts: torch.Tensor) -> None:
        """Keeps all rows of some of the present prompts (int64 indices)."""
        ...


class SharedPrefixDecoder:
    """Holds keys and values of a prompt once for all of its samples."""

    def __init__(self, model: Any, cache: DynamicCache, mask: torch.Tensor, samples: int) -> None:
        """Takes over the `cache` of prompts, with `mask` ``[prompts, length]`` False on padding."""
        self._model = model
        self._step = STEPS[model.config.model_type]
        padding = None if bool(mask.all()) else mask
        self._layers = [SharedPrefix(layer.keys, layer.values, padding, samples) for layer in _canonical(cache)]

    def step(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """See `Decoder`."""
        return self._step(self._model, tokens, positions, self._layers).float()

    def select(self, prompts: torch.Tensor) -> None:
        """See `Decoder`."""
        for layer in self._layers:
            layer.select(prompts)


class CacheDecoder:
    """Calls the model as it is, with a cache of its own kind."""

    def __init__(self, model: Any, cache: DynamicCache, mask: torch.Tensor, samples: int, room: int) -> None:
        """Takes over the `cache` of prompts, as `SharedPrefixDecoder` does, with room for `room` tokens more."""
        share_out(cache, samples, room)
        self._model, self._cache, self._samples = model, cache, samples
        self._mask = torch.nn.functional.pad(mask, (0, room), value=True).repeat_interleave(samples, 0)
        self._length = mask.shape[1]

    def step(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """See `Decoder`."""
        self._length += 1
        return _forward(self._model, tokens[:, None], self._mask[:, : self._length], positions[:, None], self._cache)

    def select(self, prompts: torch.Tensor) -> None:
        """See `Decoder`."""
        rows = rows_of(prompts, self._samples)
        self._mask = self._mask[rows]
        self._cache.batch_select_indices(rows)


def rows_of(prompts: torch.Tensor, samples: int) -> torch.Tensor:
    """The rows of `prompts` (int64 indices), where each has `samples` rows, one after the other."""
    return (prompts[:, None] * samples + torch.arange(samples, device=prompts.device)).flatten()


def read_prompts(
    model: Any, tokens: torch.Tensor, offsets: torch.Tensor, samples: int, room: int
) -> tuple[torch.Tensor, Decoder]:
    """One forward pass over all prompts.

    Args:
        model: a causal language model of Hugging Face.
        tokens: int64 ``[prompts, length]``, padded on the left.
        offsets: int64 ``[prompts]``, padding tokens of each.
        samples: rows of each prompt from now on.
        room: calls of the decoder's `step` to come, at most.

    Returns:
        Logits of the first new token, float32 ``[prompts * samples, vocabulary]``, and what continues from there.
    """
    columns = torch.arange(tokens.shape[1], device=tokens.device)[None, :]
    mask = columns >= offsets[:, None]
    cache = DynamicCache(config=model.config)
    logits = _forward(model, tokens, mask, (columns - offsets[:, None]).clamp_(min=0), cache)
    decoder: Decoder
    if can_share_prefix(model, cache):
        decoder = SharedPrefixDecoder(model, cache, mask, samples)
    else:
        decoder = CacheDecoder(model, cache, mask, samples, room)
    return logits.repeat_interleave(samples, 0), decoder


def can_share_prefix(model: Any, cache: DynamicCache) -> bool:
    """Whether `SharedPrefixDecoder` computes what `model` does: a known family with its usual, plain attention."""
    config = model.config
    return config.model_type in STEPS and config._attn_implementation == "sdpa" and _canonical(cache) == cache.layers


def _canonical(cache: DynamicCache) -> list[Any]:
    return [layer for layer in cache.layers if type(layer) is DynamicLayer]


def _forward(
    model: Any, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    """Logits of the last position: float32 ``[rows, vocabulary]``."""
    output = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        logits_to_keep=1,
        **{cache_argument(type(model)): cache},
    )
    return output.logits[:, -1].float()


@functools.cache
def cache_argument(model_class: Any) -> str:
    """What models call the cache that they are given; transformers 5.24 renamed it."""
    return "cache" if "cache" in inspect.signature(model_class.forward).parameters else "past_key_values"
