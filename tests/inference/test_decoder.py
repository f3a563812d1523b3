"""The logits of every step against a forward pass of Hugging Face's model over the whole sequence."""

import copy
from typing import Any

import pytest
import torch

from raysim.inference.decoder import CacheDecoder, SharedPrefixDecoder, read_prompts, rows_of
from raysim.inference.families import fuse_activations
from raysim.inference.numerics import converted
from raysim.training.models import ModelSettings, build_model

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


@pytest.mark.parametrize(("attention", "decoder"), [("sdpa", SharedPrefixDecoder), ("eager", CacheDecoder)])
def test_logits_of_every_step_are_those_of_the_model(model: Any, attention: str, decoder: type) -> None:
    ours = copy.deepcopy(model)
    ours.set_attn_implementation(attention)
    fuse_activations(ours)
    assert worst(ours, model, decoder) < 1e-4  # logits reach 5


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16, "activation_function": "relu"},
        {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16, "scale_attn_by_inverse_layer_idx": True},
        {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16, "tie_word_embeddings": False, "n_inner": 24},
        {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "attention_bias": True,
            "mlp_bias": True,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0},
        },
    ],
    ids=["another activation", "scaled by layer", "untied", "llama with biases, one key head and scaled positions"],
)
def test_variants_of_the_families(config: dict[str, Any]) -> None:
    model = build_model(ModelSettings(config={**config, "initializer_range": 0.5}), 33, 0, 64, seed=5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    assert worst(model, model, SharedPrefixDecoder) < 1e-4


def test_bf16_is_as_near_to_the_exact_logits_as_the_model_itself(model: Any) -> None:
    """Both round, in other places: what counts is the distance to float32 arithmetic on the same rounded weights."""
    rounded = copy.deepcopy(model).bfloat16()
    exact = copy.deepcopy(rounded).float()
    own = copy.deepcopy(rounded)
    own.set_attn_implementation("eager")
    assert worst(rounded, exact, SharedPrefixDecoder) < 1.5 * worst(own, exact, CacheDecoder)


def test_bf16_in_fp32_computes_exactly_with_rounded_weights(model: Any, rounded: Any) -> None:
    ours = converted(copy.deepcopy(model), "bf16 in fp32", "cpu")
    fuse_activations(ours)
    assert worst(ours, rounded, SharedPrefixDecoder) < 5e-5  # logits reach 5
    assert worst(ours, model, SharedPrefixDecoder) > 1e-3
