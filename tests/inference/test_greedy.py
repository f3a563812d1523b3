"""The bits of each step against Hugging Face's own forward pass with its own cache."""

from typing import Any

import pytest
import torch
from transformers import DynamicCache

from raysim.inference.decoder import cache_argument
from raysim.inference.greedy import continue_greedily, read_prefixes
from raysim.training.models import ModelSettings, build_model

GPT2 = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64}
LLAMA = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}
CONFIGS = {
    "gpt2": GPT2,
    "gpt2, another activation": GPT2 | {"activation_function": "relu"},
    "llama": LLAMA | {"num_attention_heads": 4, "num_key_value_heads": 4},
    "llama, grouped heads": LLAMA | {"num_attention_heads": 4, "num_key_value_heads": 2},
    "another family": {
        "model_type": "gpt_neox", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96,
        "num_attention_heads": 4, "is_decoder": True,
    },
}  # fmt: skip
STEPS = 60


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_equal_bits(name: str, rows: int) -> None:
    model: Any = build_model(ModelSettings(config=CONFIGS[name]), 512, 0, 128, seed=5)
    prefixes = torch.randint(1, 512, (rows, 32), generator=torch.Generator().manual_seed(rows))
    cache, argument, tokens, chosen = DynamicCache(config=model.config), cache_argument(type(model)), prefixes, []
    with torch.inference_mode():
        logits, step = read_prefixes(model, prefixes)
        for _ in range(STEPS):
            wanted = model(input_ids=tokens, use_cache=True, logits_to_keep=1, **{argument: cache}).logits[:, -1]
            assert torch.equal(logits, wanted)
            tokens = wanted.argmax(-1, keepdim=True)
            chosen.append(tokens)
            logits = step(tokens)
        assert torch.equal(continue_greedily(model, prefixes, STEPS), torch.cat(chosen, 1))
