"""Models from configs and checkpoints, and their initial weights."""

from typing import Any

import numpy as np
import pytest
import torch

from raysim.core.errors import InputError
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings, build_model, dropout_of, initial_recipe, initial_weights
from raysim.training.weights import flatten


def build(spec: ModelSpec, seed: int = 0) -> Any:
    return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed)


@pytest.fixture(params=["gpt2", "llama"])
def spec(request: pytest.FixtureRequest, gpt2_spec, llama_spec: ModelSpec) -> ModelSpec:
    return gpt2_spec() if request.param == "gpt2" else llama_spec


def test_initial_weights_follow_the_seed_and_leave_the_global_generator_alone(gpt2_spec) -> None:
    spec = gpt2_spec()

    def weights(seed: int) -> np.ndarray:
        recipe = initial_recipe(spec.settings.recipe(spec.vocab_size, spec.bos_id, spec.context), seed, "2")
        flat, info = initial_weights(spec.settings, spec.vocab_size, spec.bos_id, spec.context, recipe)
        assert info == {"parameters": flat.size, "dropout": 0.1, "context": 64}
        return flat

    before = torch.random.get_rng_state()
    one, again, other = weights(1), weights(1), weights(2)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_is_set_everywhere(gpt2_spec) -> None:
    model = build(gpt2_spec(dropout=0.25))
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}
    assert {module.p for module in build(gpt2_spec(None)).modules() if isinstance(module, torch.nn.Dropout)} == {0.1}


SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}


OPT = {"hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "word_embed_proj_dim": 16}


OTHERS = {
    "gpt_neo": {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "attention_types": [[["global"], 1]]},
    "gpt_neox": SMALL,
    "llama": SMALL,
    "opt": OPT,
    "starcoder2": {**SMALL, "num_key_value_heads": 2},
}


@pytest.mark.parametrize("model_type", OTHERS)
def test_dropout_is_set_everywhere_in_models_that_have_other_names_for_it(model_type: str, tmp_path) -> None:
    """In random models as in checkpoints: modules of torch, and numbers that layers keep for attention."""
    scratch = ModelSettings(config={"model_type": model_type, **OTHERS[model_type]}, dropout=0.25)
    build_model(scratch.model_copy(update={"dropout": 0.125}), 300, 0, 64).save_pretrained(tmp_path)
    for settings in (scratch, ModelSettings(pretrained=str(tmp_path), dropout=0.25)):
        model = build_model(settings, 300, 0, 64)
        rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
        for module in model.modules():
            rates |= {v for k, v in vars(module).items() if "drop" in k and k != "layerdrop" and isinstance(v, float)}
        assert rates == {0.25}
        assert dropout_of(model.config) == 0.25
    kept = build_model(ModelSettings(pretrained=str(tmp_path)), 300, 0, 64)
    assert dropout_of(kept.config) == 0.125


def test_a_model_without_dropout_refuses_some(tmp_path) -> None:
    config = {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}
    with pytest.raises(InputError, match=r"model\.dropout: a model of type mamba has none; leave it out"):
        build_model(ModelSettings(config=config, dropout=0.1), 300, 0, 64)
    assert dropout_of(build_model(ModelSettings(config=config, dropout=0.0), 300, 0, 64).config) == 0.0


def test_models_are_built_in_evaluation_mode(spec: ModelSpec) -> None:
    assert not any(module.training for module in build(spec).modules())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gpt2", "n_layers": 2}, "n_layers: unknown field; known for gpt2: .*n_layer,"),
        ({"model_type": "gpt22"}, "cannot be built"),
        ({"model_type": "gpt2", "n_embd": 10, "n_head": 3}, "cannot be built"),
        ({"model_type": "gpt2", "vocab_size": 10}, "vocabulary of 10 is smaller than the tokenizer's 300"),
        ({"model_type": "gpt2", "n_positions": 8}, "context of 8 tokens is shorter than the 64"),
    ],
)
def test_bad_configs(config: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"model.*{message}"):
        build_model(ModelSettings(config=config), 300, 0, 64)


def test_old_names_of_config_fields_are_known() -> None:
    """transformers takes rope_theta, and makes rope_parameters of it."""
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model: Any = build_model(ModelSettings(config={"model_type": "llama", "rope_theta": 5.0, **size}), 300, 0, 64)
    assert model.config.rope_parameters["rope_theta"] == 5.0


def test_a_saved_checkpoint_comes_back(gpt2_spec, tmp_path) -> None:
    model = build(gpt2_spec(), 3)
    model.save_pretrained(tmp_path)
    loaded = build_model(ModelSettings(pretrained=str(tmp_path)), 300, 0, 64, seed=9)
    assert np.array_equal(flatten(loaded), flatten(model))
