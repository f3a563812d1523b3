"""Places of adapters in flat buffers, against what peft merges of them."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from raysim.training.adapters import Adapter, Adapters, Factor, adapters_in
from raysim.training.lora import LoraSettings, assign_merged, plain_state
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten, layout_of


def one_layer() -> tuple[Adapter, ...]:
    return (Adapter(Factor(0, 1, 1), None, 1.0),)


@pytest.fixture(scope="module")
def checkpoint(gpt2_spec, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder, spec = tmp_path_factory.mktemp("gpt2"), gpt2_spec(0.0)
    model: Any = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=5)
    model.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("carry_base", [False, True])
@pytest.mark.parametrize("targets", [["c_attn", "c_proj"], ["wpe"]], ids=str)
def test_what_lies_there_is_what_peft_adds(checkpoint: str, targets: list[str], carry_base: bool) -> None:
    """Matrices of GPT-2 lie the other way round, some of them square; embeddings have adapters of their own kind."""
    lora = LoraSettings(rank=2, alpha=3, targets=targets, carry_base=carry_base)
    model: Any = build_model(ModelSettings(pretrained=checkpoint, lora=lora), 300, 0, 64)
    plain: Any = build_model(ModelSettings(pretrained=checkpoint), 300, 0, 64)
    flat = np.random.Generator(np.random.Philox(3)).normal(0, 0.3, flatten(model).size).astype(np.float32)
    assign_merged(model, flat)
    after, changed = plain_state(model), 0
    adapters = Adapters.of(ModelSpec(ModelSettings(pretrained=checkpoint, lora=lora), 300, 0, 64))
    assert adapters is not None
    assert adapters.layers == adapters_in(model)
    names = [name for name in after if name.endswith(tuple(f"{target}.weight" for target in targets))]
    for name, one in zip(names, adapters.layers, strict=True):
        assert one.a is not None
        assert (one.scale, one.base is not None) == (1.5, carry_base)
        product = one.scale * one.b.of(flat) @ one.a.of(flat)
        base = one.base.of(flat) if one.base else plain.get_parameter(name).detach().numpy()
        np.testing.assert_allclose(after[name], base + (product.T if one.transposed else product), atol=1e-5)
        changed += product.size
    other = {name: tensor for name, tensor in plain.state_dict().items() if name not in names}
    assert all(torch.equal(after[name], tensor) for name, tensor in other.items())
    assert changed == sum(plain.get_parameter(name).numel() for name in names)


def test_a_frozen_factor_does_not_travel_and_is_the_same_whatever_the_seed(checkpoint: str) -> None:
    settings = ModelSettings(pretrained=checkpoint, lora=LoraSettings(rank=2, train="b"))
    models = [build_model(settings, 300, 0, 64, seed) for seed in (1, 2)]
    frozen = [{n: p for n, p in m.named_parameters() if "lora_A" in n} for m in models]
    assert frozen[0]
    assert all(not p.requires_grad and torch.equal(p, frozen[1][n]) and p.any() for n, p in frozen[0].items())
    assert all("lora_B" in name for name in layout_of(models[0]).names)
    assert all(one.a is None for one in adapters_in(models[0]))


def test_copies_of_what_was_looked_up_look_at_no_model() -> None:
    known = Adapters(LoraSettings(), one_layer).looked_up()
    assert pickle.loads(pickle.dumps(known)).__dict__["layers"] == one_layer()


def test_without_adapters_there_is_nothing_to_read(gpt2_spec) -> None:
    assert Adapters.of(gpt2_spec()) is None
    assert adapters_in(build_model(gpt2_spec().settings, 300, 0, 64)) == ()
