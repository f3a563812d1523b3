import copy
from typing import Any

import numpy as np
import pytest
import torch

from raysim.core.errors import InputError
from raysim.training.model_host import ModelSpec
from raysim.training.models import build_model
from raysim.training.weights import assign, carry, flatten, layout_of, squared_distance, trained_part


def build(spec: ModelSpec, seed: int = 0) -> Any:
    return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed)


@pytest.fixture(params=["gpt2", "llama"])
def spec(request: pytest.FixtureRequest, gpt2_spec, llama_spec: ModelSpec) -> ModelSpec:
    return gpt2_spec() if request.param == "gpt2" else llama_spec


def test_round_trip(spec: ModelSpec) -> None:
    source, target = build(spec, 1), build(spec, 2)
    flat = flatten(source)
    assert (flat.dtype, flat.ndim) == (np.float32, 1)
    assert not np.array_equal(flatten(target), flat)
    assign(target, flat)
    assert np.array_equal(flatten(target), flat)
    for (name, one), (_, other) in zip(source.state_dict().items(), target.state_dict().items(), strict=True):
        assert torch.equal(one, other), name


def test_the_layout_says_where_each_parameter_lies(spec: ModelSpec) -> None:
    model = build(spec)
    flat, layout = flatten(model), layout_of(model)
    parameters = dict(model.named_parameters())
    assert list(layout.names) == list(parameters)
    offset = 0
    for name, shape, size in zip(layout.names, layout.shapes, layout.sizes, strict=True):
        part = flat[offset : offset + size].reshape(shape)
        assert np.array_equal(part, parameters[name].detach().numpy()), name
        offset += size
    assert offset == flat.size == layout.num_parameters


def test_what_is_carried_lies_behind_what_is_trained(spec: ModelSpec) -> None:
    model, other = build(spec, 1), build(spec, 2)
    for one in (model, other):
        first = next(iter(dict(one.named_parameters())))
        one.get_parameter(first).requires_grad_(False)
        carry(one, [first])
    layout, flat = layout_of(model), flatten(model)
    assert (layout.names[-1], layout.num_parameters) == (first, flat.size)
    assert trained_part(model, flat).size == flat.size - model.get_parameter(first).numel()
    assert np.array_equal(flat[-layout.sizes[-1] :].reshape(layout.shapes[-1]), model.get_parameter(first).numpy())
    copied = copy.deepcopy(other)
    assign(copied, flat)
    assert np.array_equal(flatten(copied), flat)
    assert not np.array_equal(flatten(other), flat)


def test_a_tied_embedding_stands_in_it_once(gpt2_spec) -> None:
    model = build(gpt2_spec())
    # Embeddings of 300 and 64 rows of 16; a block of width 16; a last norm. The output layer is the embedding.
    block = 2 * 32 + (16 * 48 + 48) + (16 * 16 + 16) + (16 * 64 + 64) + (64 * 16 + 16)
    assert layout_of(model).num_parameters == 300 * 16 + 64 * 16 + block + 32
    assert sum(p.numel() for p in model.parameters()) == flatten(model).size
    changed = flatten(model)
    changed[:16] = 7.0
    assign(model, changed)
    assert model.lm_head.weight[0].tolist() == model.transformer.wte.weight[0].tolist() == [7.0] * 16


def test_untied_embeddings_are_two(llama_spec: ModelSpec) -> None:
    model = build(llama_spec)
    # Two embeddings of 300 rows of 16; four projections; three of the feed-forward layer; three norms.
    assert flatten(model).size == 2 * 300 * 16 + 4 * 16 * 16 + 3 * 16 * 24 + 3 * 16
    assert not torch.equal(model.model.embed_tokens.weight, model.lm_head.weight)


def test_read_only_arrays_are_enough_and_stay_as_they_are(spec: ModelSpec) -> None:
    model = build(spec)
    flat = flatten(model) + np.float32(1)
    before = flat.copy()
    flat.flags.writeable = False
    assign(model, flat)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert np.array_equal(flat, before)


def test_flatten_is_a_copy(spec: ModelSpec) -> None:
    model = build(spec)
    flat = flatten(model)
    before = flat.copy()
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert np.array_equal(flat, before)


@pytest.mark.parametrize("change", [-1, 1])
def test_weights_of_another_model(spec: ModelSpec, change: int) -> None:
    model = build(spec)
    size = flatten(model).size
    with pytest.raises(ValueError, match=f"{size + change} elements do not fit a model of {size}"):
        assign(model, np.zeros(size + change, np.float32))


def test_state_besides_parameters_is_refused() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    with pytest.raises(InputError, match=r"would be lost.*running_mean"):
        layout_of(model)


# Models.


def test_squared_distance_over_many_chunks() -> None:
    assert squared_distance(np.array([1, 2, 5], np.float32), np.array([1, 4, 2], np.float32)) == 13
    generator = np.random.Generator(np.random.Philox(3))
    one, other = (generator.standard_normal(600_001, np.float32) for _ in range(2))
    expected = np.square(one.astype(float) - other).sum()
    assert squared_distance(one, other) == pytest.approx(expected, rel=1e-12)
    assert squared_distance(one[:0], other[:0]) == 0
