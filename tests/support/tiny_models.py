"""Tiny models of both families, and a tokenizer whose tokens are characters."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from raysim.inference.prompts import prompt_id
from raysim.training.models import ModelSettings, build_model

CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16, "initializer_range": 0.5},
    "llama": {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.5,
    },
}


@dataclass(frozen=True)
class Characters:
    """Id 0 is BOS, id n is the n-th of the characters."""

    characters: str = "\nabcdefghijklmnopqrstuvwxyz .()#@"
    bos_id: int = 0
    is_bytewise: bool = False

    @property
    def vocab_size(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> list[int]:
        return [self.characters.index(c) + 1 for c in text]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.characters[i - 1] for i in ids if i)


@pytest.fixture(scope="session")
def characters() -> Characters:
    return Characters()


@pytest.fixture(params=["gpt2", "llama"])
def model_settings(request: pytest.FixtureRequest) -> ModelSettings:
    return ModelSettings(config=CONFIGS[request.param])


@pytest.fixture
def model(model_settings: ModelSettings, characters: Characters) -> Any:
    return build_model(model_settings, characters.vocab_size, characters.bos_id, 64, seed=5)


@pytest.fixture
def rounded(model: Any) -> Any:
    """The model in float32 with weights that bfloat16 holds."""
    other = copy.deepcopy(model)
    other.load_state_dict({name: tensor.bfloat16().float() for name, tensor in model.state_dict().items()})
    return other


@pytest.fixture(scope="session")
def make_prompts(characters: Characters) -> Callable[..., pa.Table]:
    def make(*texts: str, kind: str = "prefix") -> pa.Table:
        tokens = [([0] if kind != "prefix" else []) + characters.encode(text) for text in texts]
        return pa.table(
            {
                "prompt": [prompt_id(kind, row) for row in tokens],
                "kind": [kind] * len(texts),
                "organization": ["org"] * len(texts),
                "tokens": pa.array(tokens, pa.list_(pa.int32())),
                "text": list(texts),
                "truth": [""] * len(texts),
            }
        )

    return make
