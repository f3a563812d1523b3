"""The forward pass for one token, by family of models."""

import copy
from typing import Any

import pytest
import torch
from decoder_reference import worst

from raysim.inference.decoder import SharedPrefixDecoder
from raysim.inference.families import fuse_activations
from raysim.inference.numerics import converted
from raysim.training.models import ModelSettings, build_model


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


def test_bf16_in_fp32_computes_exactly_with_rounded_weights(model: Any, rounded: Any) -> None:
    ours = converted(copy.deepcopy(model), "bf16 in fp32", "cpu")
    fuse_activations(ours)
    assert worst(ours, rounded, SharedPrefixDecoder) < 5e-5  # logits reach 5
    assert worst(ours, model, SharedPrefixDecoder) > 1e-3
