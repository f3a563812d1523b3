"""Models that see later tokens, that do not decode to what they compute, or that merging would change."""

from pathlib import Path
from typing import Any

import pytest
import torch

from raysim.core.errors import InputError
from raysim.inference.model_checks import check_model, difference
from raysim.training.lora import LoraSettings
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16}
MAMBA: dict[str, Any] = {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}


def build(settings: ModelSettings | dict[str, Any]) -> Any:
    settings = ModelSettings(config=settings) if isinstance(settings, dict) else settings
    return build_model(settings, 300, 0, 64, seed=1)


@pytest.mark.parametrize(
    "config",
    [
        GPT2,
        {"model_type": "llama", **SMALL},
        {"model_type": "bert", "is_decoder": True, **SMALL},
        {"model_type": "gpt_neox", **SMALL},
        {"model_type": "qwen2", "num_key_value_heads": 2, **SMALL},
        {"model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 8, **SMALL},
        {"model_type": "mixtral", "num_key_value_heads": 2, "num_local_experts": 4, **SMALL},
    ],
    ids=lambda config: config["model_type"],
)
def test_causal_models_pass(config: dict[str, Any]) -> None:
    model = build(config)
    before = flatten(model)
    check_model(model, generates=True)
    assert (flatten(model) == before).all()


@pytest.mark.parametrize("model_type", ["bert", "roformer", "electra"])
def test_a_model_that_sees_the_future(model_type: str) -> None:
    extra = {} if model_type == "bert" else {"embedding_size": 16}
    with pytest.raises(InputError, match=rf"^model: of type {model_type}: sees the tokens that it is to predict"):
        check_model(build({"model_type": model_type, **SMALL, **extra}), generates=False)


def test_a_model_that_leaks_in_its_first_layer_alone() -> None:
    """However little of it reaches the logits."""
    model = build(GPT2)
    first = model.transformer.h[0]
    first.register_forward_hook(lambda module, inputs, output: output + 1e-2 * output[:, -1:])
    with pytest.raises(InputError, match="sees the tokens"):
        check_model(model, generates=False)


def test_a_state_space_model_trains_and_is_not_asked_for_text() -> None:
    check_model(build(MAMBA), generates=False)
    with pytest.raises(InputError, match=r"^model: of type mamba: (cannot generate|a cache changes)"):
        check_model(build(MAMBA), generates=True)


def test_a_model_whose_cache_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions that are one too many in each step: nothing fails, and every token is another."""
    from raysim.inference import families

    right = families.STEPS["gpt2"]
    monkeypatch.setitem(families.STEPS, "gpt2", lambda model, tokens, at, layers: right(model, tokens, at + 1, layers))
    model = build({**GPT2, "initializer_range": 0.5})
    with pytest.raises(InputError, match="a cache changes what it generates"):
        check_model(model, generates=True)
    check_model(model, generates=False)


def test_a_model_that_cannot_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(GPT2)
    monkeypatch.setattr(model, "forward", lambda **_: 1 / 0)
    with pytest.raises(InputError, match="cannot read a sequence of tokens: division by zero"):
        check_model(model, generates=False)


def test_logits_that_are_no_numbers() -> None:
    model = build(GPT2)
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight.fill_(1e30)
    with pytest.raises(InputError, match="not finite before any training"):
        check_model(model, generates=False)


@pytest.fixture(params=["tied", "untied"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    build({**GPT2, "tie_word_embeddings": request.param == "tied"}).save_pretrained(tmp_path)
    return str(tmp_path)


def adapted(checkpoint: str, *targets: str) -> ModelSettings:
    return ModelSettings(pretrained=checkpoint, lora=LoraSettings(rank=2, targets=list(targets)))


@pytest.mark.parametrize("targets", [["lm_head"], ["wte"], ["lm_head", "wte"], ["c_attn", "lm_head"]])
def test_adapters_of_a_matrix_that_two_layers_share(targets: list[str], checkpoint: str) -> None:
    """Refused where the matrix is tied; else the merged model is the same one."""
    if build(ModelSettings(pretrained=checkpoint)).config.tie_word_embeddings:
        with pytest.raises(InputError, match=r"^model\.lora\.targets: .*(lm_head|wte) are one matrix"):
            build(adapted(checkpoint, *targets))
    else:
        check_model(build(adapted(checkpoint, *targets)), generates=True)


def test_merging_that_changes_a_model_is_found_out(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: here adapters that are tied behind the back of the first check."""
    monkeypatch.setattr("raysim.training.lora._refuse_tied", lambda model: None)
    model = build(adapted(checkpoint, "lm_head"))
    if model.config.tie_word_embeddings:
        with pytest.raises(InputError, match=r"^model\.lora: a merged model computes something else"):
            check_model(model, generates=False)
    else:
        check_model(model, generates=False)


def test_difference_is_relative_to_the_largest_logit() -> None:
    logits = torch.tensor([0.5, -0.25])
    assert difference(logits, logits + torch.tensor([0.0, 0.125])) == 0.25
