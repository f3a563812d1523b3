"""What a model must do before anything is made of it: tried once, on a few tokens. Imports torch, so imported late.

A model of another kind would train and be measured all the same, and its numbers would mean something else.
"""

from typing import Any

import torch

from raysim.core.errors import InputError, first_line
from raysim.inference.decoder import read_prompts
from raysim.inference.greedy import read_prefixes
from raysim.training.lora import has_adapters, merge, split
from raysim.training.models import context_of

_MERGED = 1e-5
"""Largest difference of logits that merging adapters may make."""
_CAUSAL = 1e-5
"""The same for a later token. Measured: 1e-7 where experts work on other rows, 3e-4 in models that see it."""
_DECODED = 1e-3
"""The same for decoding step by step. Measured: 1e-6 by rounding, 0.3 and more where positions or caches are wrong."""
_LENGTH = 16
"""Tokens that are tried; attention to one of them is not lost among many."""


def check_model(model: Any, generates: bool) -> None:
    """Checks that a model sees no later token, is the same with merged adapters, and decodes to what it computes.

    Args:
        model: in evaluation mode, on the CPU, in float32; its adapters get other weights.
        generates: whether it will be asked for text.

    Raises:
        InputError: which of these it is not, or that it cannot be called.
    """
    kind = f"model: of type {model.config.model_type}"
    ids = _tokens(model)
    try:
        with torch.no_grad():
            logits = whole_logits(model, ids) if not has_adapters(model) else _merged_logits(model, ids)
            if not bool(logits.isfinite().all()):
                raise InputError(f"{kind}: its logits are not finite before any training")
            _check_causality(model, ids, logits, kind)
            if generates:
                _check_decoding(model, ids, kind)
    except InputError:
        raise
    except Exception as error:  # a model's own code
        raise InputError(f"{kind}: cannot read a sequence of tokens: {first_line(error)}") from error
    finally:
        split(model)


def whole_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Logits float32 ``[rows, length, vocabulary]`` of token ids ``[rows, length]``, as training computes them."""
    return model(input_ids=ids, use_cache=False).logits.float()


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference of two tensors of logits, as a part of the largest logit."""
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-9))


def _tokens(model: Any) -> torch.Tensor:
    """Token ids ``[1, length]``, no two of them the same if the vocabulary has as many."""
    length = min(_LENGTH, context_of(model.config) or _LENGTH)
    return (torch.arange(length) * 7 + 1)[None] % model.config.vocab_size


def _merged_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Gives the adapters weights that say something, and merges them: so is the model measured."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.normal_(0, 0.1, generator=generator)
    apart = whole_logits(model, ids)
    merge(model)
    logits = whole_logits(model, ids)
    require_equal(apart, logits)
    return logits


def require_equal(apart: torch.Tensor, merged: torch.Tensor) -> None:
    """Compares logits of adapters beside their matrices with those of a merged model.

    Raises:
        InputError: they differ by more than rounding.
    """
    found = difference(apart, merged)
    if not found <= _MERGED:
        raise InputError(
            f"model.lora: a merged model computes something else (logits differ by {found:.1g}); choose other targets"
        )


def _check_causality(model: Any, ids: torch.Tensor, logits: torch.Tensor, kind: str) -> None:
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % model.config.vocab_size
    found = difference(logits[:, :-1], whole_logits(model, other)[:, :-1])
    if not found <= _CAUSAL:
        raise InputError(
            f"{kind}: sees the tokens that it is to predict (the last one moves earlier logits by {found:.1g}); use a"
            " causal type such as gpt2 or llama, or is_decoder: true where the type has that"
        )


def _check_decoding(model: Any, ids: torch.Tensor, kind: str) -> None:
    hint = "leave out what has models write, or use another type"
    try:
        found = max(_decoding_error(model, ids), _greedy_error(model, ids))
    except Exception as error:
        raise InputError(f"{kind}: cannot generate ({first_line(error)}); {hint}") from error
    if not found <= _DECODED:
        raise InputError(f"{kind}: a cache changes what it generates (logits differ by {found:.1g}); {hint}")


def _decoding_error(model: Any, ids: torch.Tensor) -> float:
    """How far two prompts of different length, with two samples each, are from passes over the whole of each."""
    short, long, samples = 2, ids.shape[1] - 2, 2
    prompts = [ids[0, :long], ids[0, 1 : 1 + short]]
    offsets = torch.tensor([0, long - short])
    padded = torch.stack([prompts[0], torch.cat([prompts[1][:1].expand(long - short), prompts[1]])])
    logits, decoder = read_prompts(model, padded, offsets, samples, 2)
    rows = [prompt for prompt in prompts for _ in range(samples)]
    found = 0.0
    for step in range(2):
        found = max(
            found, *(difference(whole_logits(model, r[None])[0, -1], x) for r, x in zip(rows, logits, strict=True))
        )
        if step == 0:
            tokens = ids[0, : len(rows)]
            rows = [torch.cat([row, token[None]]) for row, token in zip(rows, tokens, strict=True)]
            logits = decoder.step(tokens, (long - offsets).repeat_interleave(samples))
    return found


def _greedy_error(model: Any, ids: torch.Tensor) -> float:
    """The same for the steps of greedy decoding."""
    logits, step = read_prefixes(model, ids[:, :-1])
    whole = whole_logits(model, ids)
    return max(difference(whole[:, -2], logits), difference(whole[:, -1], step(ids[:, -1:])))
