"""What generation takes of memory, found by reading prompts without numbers. Imports torch, so it is imported late."""

import torch
from transformers import DynamicCache

from raysim.inference.decoder import cache_argument, can_share_prefix
from raysim.inference.numerics import dtype_of
from raysim.inference.settings import Numerics, Sampling
from raysim.training.dry_run import flesh_out, skeleton, without_numbers
from raysim.training.model_host import ModelSpec

_FLOAT32_BYTES = 4
_FLOATS_PER_SCORE = 6
"""Arrays of one number a row and token that a draw has at a time: logits, those with penalty, masses, sorted ones."""


def generation_memory(
    spec: ModelSpec, sampling: Sampling, numerics: Numerics, num_prompts: int, prompt_tokens: int
) -> int:
    """Bytes that a worker of generation holds at its largest moment, beside the flat weights that it reads.

    Args:
        spec: of the model.
        sampling: how it is asked.
        numerics: in which it computes meanwhile.
        num_prompts: that there are; a batch may have fewer.
        prompt_tokens: of the longest prompt.

    Raises:
        InputError: the model cannot be built.
    """
    prompts = max(1, min(num_prompts, sampling.batch_size // sampling.samples))
    rows = prompts * sampling.samples
    model = skeleton(spec)
    built = sum(p.numel() for p in model.parameters()) * _FLOAT32_BYTES  # before it is cast
    with torch.no_grad(), without_numbers() as tally:
        flesh_out(model, dtype_of(numerics))
        weights = tally.now
        cache = DynamicCache(config=model.config)
        before, tally.peak = tally.now, tally.now
        ids = torch.zeros(prompts, prompt_tokens, dtype=torch.int64)
        output = model(input_ids=ids, use_cache=True, logits_to_keep=1, **{cache_argument(type(model)): cache})
        reading, vocabulary = tally.peak - before, output.logits.shape[-1]
        del output, ids
        cached, shared = tally.now - before, can_share_prefix(model, cache)
        del cache
    # Every sample has what it says itself, and a copy of its prompt where a family cannot share that.
    of_samples = cached * sampling.new_tokens * sampling.samples // prompt_tokens
    of_prompts = cached if shared else cached * (1 + sampling.samples)
    drawing = _FLOAT32_BYTES * _FLOATS_PER_SCORE * rows * vocabulary
    return max(built, weights + reading, weights + of_prompts + of_samples + drawing)
