"""The logits of every step of a decoder against a forward pass of Hugging Face's model over the whole sequence."""

from typing import Any

import torch

from raysim.inference.decoder import read_prompts, rows_of

SAMPLES, STEPS = 2, 50
"""More steps than a block of keys has."""
LENGTHS = (9, 4, 9)


def random_tokens(model: Any, *shape: int) -> torch.Tensor:
    return torch.randint(1, model.config.vocab_size, shape, generator=torch.Generator().manual_seed(7))


def worst(model: Any, reference: Any, decoder_class: type) -> float:
    """Largest difference to the logits of `reference` along random tokens; prompts are dropped on the way."""
    prompts, new = random_tokens(model, len(LENGTHS), max(LENGTHS)), random_tokens(model, len(LENGTHS) * SAMPLES, STEPS)
    offsets = max(LENGTHS) - torch.tensor(LENGTHS)
    rows = torch.arange(len(new))
    difference = 0.0
    with torch.inference_mode():
        logits, decoder = read_prompts(model, prompts, offsets, SAMPLES, STEPS)
        assert type(decoder) is decoder_class
        for step in range(STEPS + 1):
            for row, got in zip(rows.tolist(), logits, strict=True):
                prompt = row // SAMPLES
                whole = torch.cat([prompts[prompt, offsets[prompt] :], new[row, :step]])
                wanted = reference(input_ids=whole[None], use_cache=False, logits_to_keep=1).logits[0, -1].float()
                difference = max(difference, float((got - wanted).abs().max()))
            if step == 20:
                keep = torch.tensor([1, 2])
                decoder.select(keep)
                rows = rows[rows_of(keep, SAMPLES)]
            if step < STEPS:
                logits = decoder.step(new[rows, step], max(LENGTHS) + step - offsets[rows // SAMPLES])
    return difference
