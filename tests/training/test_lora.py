"""Adapters against the formula of the paper, and against peft's own model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.core.errors import InputError
from raysim.training.lora import LoraSettings, assign_merged, plain_state, split
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings, build_model, count_parameters
from raysim.training.request import TrainTask, Update
from raysim.training.torch_engine import TorchTrainer
from raysim.training.weights import assign, flatten, layout_of

IDS = torch.arange(32).reshape(2, 16)


@pytest.fixture(params=["gpt2", "llama"])
def checkpoint(request: pytest.FixtureRequest, gpt2_spec, llama_spec: ModelSpec, tmp_path: Path) -> str:
    """A checkpoint as transformers writes it."""
    spec = gpt2_spec(0.0) if request.param == "gpt2" else llama_spec
    model: Any = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=5)
    model.save_pretrained(tmp_path / "checkpoint")
    return str(tmp_path / "checkpoint")


def build(checkpoint: str, seed: int = 1, **lora: Any) -> Any:
    adapters = LoraSettings(**{"rank": 2, "alpha": 4, **lora})
    return build_model(ModelSettings(pretrained=checkpoint, lora=adapters), 300, 0, 64, seed)


def plain(checkpoint: str) -> Any:
    return build_model(ModelSettings(pretrained=checkpoint), 300, 0, 64)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits


def some_weights(model: Any) -> np.ndarray:
    return np.random.Generator(np.random.Philox(3)).normal(0, 0.3, flatten(model).size).astype(np.float32)


def trained_to_the_end(model: Any, task: TrainTask, sequences: np.ndarray) -> Update:
    *_, update = TorchTrainer(model).train(make_request(task, sequences, flatten(model)))
    assert isinstance(update, Update)
    return update


def test_at_first_the_model_is_the_checkpoint(checkpoint: str) -> None:
    model = build(checkpoint)
    assert torch.equal(logits(model), logits(plain(checkpoint)))
    assert all("lora_" in name for name in layout_of(model).names)
    assert not np.array_equal(flatten(build(checkpoint, seed=1)), flatten(build(checkpoint, seed=2)))
    assert np.array_equal(flatten(build(checkpoint, seed=1)), flatten(model))


@pytest.mark.parametrize("merged", [False, True])
def test_what_is_added_is_the_scaled_product(checkpoint: str, merged: bool) -> None:
    """W + alpha / r * B A (section 4.1), put by hand into a model that knows nothing of adapters."""
    model, expected = build(checkpoint), plain(checkpoint)
    flat = some_weights(model)
    (assign_merged if merged else assign)(model, flat)
    layout, offset, parts = layout_of(model), 0, {}
    for name, shape, size in zip(layout.names, layout.shapes, layout.sizes, strict=True):
        parts[name] = torch.from_numpy(flat[offset : offset + size].reshape(shape))
        offset += size
    for name in [n for n in parts if "lora_A" in n]:
        matrix = expected.get_submodule(name.partition(".lora_A")[0]).weight
        product = 4 / 2 * parts[name.replace("lora_A", "lora_B")] @ parts[name]
        matrix.data += product.reshape(matrix.shape) if product.shape == matrix.shape else product.T
    torch.testing.assert_close(logits(model), logits(expected), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits(model), logits(plain(checkpoint)), atol=1e-2)
    if merged:
        expected.load_state_dict(plain_state(model))
        assert torch.equal(logits(model), logits(expected))


def test_merging_leaves_no_trace(checkpoint: str) -> None:
    """Measured between two stages or not: training goes on from the same bits."""
    model, other = build(checkpoint), build(checkpoint)
    for seed_weights in (some_weights(model), flatten(other)):
        assign_merged(model, seed_weights)
    split(model)
    assign(model, some_weights(other))
    assign(other, some_weights(other))
    for (name, one), (_, two) in zip(model.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(one, two), name


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft's, about transformers
def test_training_moves_the_adapters_alone(checkpoint: str, sequences: np.ndarray, make_task: Any) -> None:
    """Beside a loop over peft's own model, with its own optimizer."""
    from peft import LoraConfig, get_peft_model

    model = build(checkpoint)
    start, frozen = flatten(model), {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    task = make_task(schedule="constant", warmup_fraction=0, epochs=1, batch_size=10, weight_decay=0.0)
    update = trained_to_the_end(model, task, sequences)
    assert update.weights.size == start.size
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad or torch.equal(parameter, frozen[name]), name

    base = plain(checkpoint)
    peer: Any = get_peft_model(base, LoraConfig(r=2, lora_alpha=4, fan_in_fan_out=base.config.model_type == "gpt2"))
    trained = [p for p in peer.parameters() if p.requires_grad]
    offset = 0
    for parameter in trained:
        parameter.data.copy_(torch.from_numpy(start[offset : offset + parameter.numel()]).view(parameter.shape))
        offset += parameter.numel()
    optimizer = torch.optim.AdamW(trained, lr=task.settings.learning_rate, weight_decay=0.0)
    ids = torch.from_numpy(sequences.astype(np.int64))
    peer.train()
    peer(input_ids=ids, labels=ids).loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    expected = torch.cat([p.detach().reshape(-1) for p in trained]).numpy()
    assert np.linalg.norm(update.weights - expected) <= 1e-4 * np.linalg.norm(expected - start)


def test_targets_and_rank_say_what_is_trained(checkpoint: str) -> None:
    few, many = (count_parameters(build_settings(checkpoint, rank), 300, 0, 64) for rank in (1, 3))
    assert many.trained == 3 * few.trained
    assert (
        many.total - many.trained
        == few.total - few.trained
        == count_parameters(ModelSettings(pretrained=checkpoint), 300, 0, 64).total
    )
    everything = build(checkpoint, targets="all-linear")
    assert layout_of(everything).num_parameters > layout_of(build(checkpoint)).num_parameters
    with pytest.raises(InputError, match=r"model\.lora\.targets: .*no_such.*Layers of this model: .*(c_attn|q_proj)"):
        build(checkpoint, targets=["no_such"])


def build_settings(checkpoint: str, rank: int) -> ModelSettings:
    return ModelSettings(pretrained=checkpoint, lora=LoraSettings(rank=rank))


def test_dropout_acts_in_training_alone(checkpoint: str, sequences: np.ndarray, make_task: Any) -> None:
    updates = []
    for dropout in (0.0, 0.5):
        model = build(checkpoint, dropout=dropout)
        assert torch.equal(logits(model), logits(plain(checkpoint)))
        updates.append(trained_to_the_end(model, make_task(), sequences).weights)
    assert not np.array_equal(*updates)


def test_random_weights_are_no_base() -> None:
    with pytest.raises(ValueError, match="needs pretrained"):
        ModelSettings(config={"model_type": "gpt2"}, lora=LoraSettings())
