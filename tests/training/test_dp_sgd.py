"""Private steps against a slow loop over single sequences, and their noise by its size."""

from typing import Any

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.core.errors import InputError
from raysim.training.batches import Batches
from raysim.training.deepspeed_engine import DeepSpeedTrainer
from raysim.training.dp_sgd import DPSGDSettings, PrivateSteps, check_gradients
from raysim.training.models import ModelSettings, build_model
from raysim.training.objectives import ObjectiveConfig
from raysim.training.request import ResumeState, TrainerSettings, Update
from raysim.training.schedule import rate_at
from raysim.training.torch_engine import TorchTrainer, next_token_loss
from raysim.training.weights import assign, flatten, trainable

LLAMA = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}


def built(**config: Any) -> Any:
    return build_model(ModelSettings(config={**LLAMA, **config}), 300, 0, 64, seed=3)


@pytest.fixture(scope="module")
def model() -> Any:
    threads = torch.get_num_threads()
    yield built()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def start(model: Any) -> np.ndarray:
    return flatten(model)


def objective(**settings: Any) -> ObjectiveConfig:
    return ObjectiveConfig("dp_sgd", {"clip": 0.5, "noise_multiplier": 0.0, "poisson": False, **settings})


def train(model: Any, task: Any, sequences: np.ndarray, weights: np.ndarray, resume: Any = None) -> tuple[Update, list]:
    *events, update = TorchTrainer(model).train(make_request(task, sequences, weights, resume=resume))
    assert isinstance(update, Update)
    return update, events


def slow_loop(model: Any, sequences: np.ndarray, task: Any, clip: float) -> np.ndarray:
    """DP-SGD without noise as one would write it: a backward pass for each sequence."""
    settings, batches = task.settings, Batches(task.seed, len(sequences), task.settings.batch_size)
    model.train()
    clipped = 0
    for step in range(task.epochs * batches.per_epoch):
        rate = rate_at(step, task.horizon_epochs * batches.per_epoch, settings.learning_rate, 0.25, "cosine")
        total = [torch.zeros_like(p) for p in trainable(model)]
        for row in batches.rows(step):
            ids = torch.tensor(sequences[row][None], dtype=torch.long)
            gradients = torch.autograd.grad(next_token_loss(model, ids, settings), trainable(model))
            norm = torch.cat([g.flatten() for g in gradients]).norm().item()
            clipped += norm > clip
            for one, gradient in zip(total, gradients, strict=True):
                one += gradient * min(1.0, clip / norm)
        # Divided by the batch size, also where the last batch is short; then as in every stage, clipped to norm 1.
        mean = [one / settings.batch_size for one in total]
        factor = min(1.0, settings.gradient_clip / torch.cat([one.flatten() for one in mean]).norm().item())
        with torch.no_grad():
            for parameter, one in zip(trainable(model), mean, strict=True):
                parameter -= rate * factor * one
    assert clipped
    return flatten(model)


def test_without_noise_it_equals_a_loop_over_sequences(model, start, sequences, make_task) -> None:
    options = {"optimizer": "sgd", "weight_decay": 0.0, "learning_rate": 0.5}
    task = make_task(objective=objective(), accumulation=2, **options)
    update, _ = train(model, task, sequences, start)
    assign(model, start)
    expected = slow_loop(model, sequences, task, 0.5)
    np.testing.assert_allclose(update.weights, expected, atol=2e-6)
    plain, _ = train(model, make_task(**options), sequences, start)
    assert np.linalg.norm(plain.weights - expected) > 1e-2
    loose, _ = train(model, make_task(objective=objective(clip=1e9), batch_size=5, **options), sequences, start)
    whole, _ = train(model, make_task(batch_size=5, **options), sequences, start)
    np.testing.assert_allclose(loose.weights, whole.weights, atol=2e-6)


def test_the_noise_of_a_step_is_multiplier_times_clip_over_the_batch_size(model) -> None:
    model.train()
    settings = DPSGDSettings(clip=0.5, noise_multiplier=3.0)
    steps = PrivateSteps(model, trainable(model), settings, batch_size=8)
    try:
        drawn = []
        for seed in (1, 2, 1):
            steps.finish(seed)
            drawn.append(torch.cat([p.grad.flatten() for p in trainable(model) if p.grad is not None]))
    finally:
        steps.close()
        model.zero_grad()
        model.eval()
    for noise in drawn[:2]:
        assert noise.std().item() == pytest.approx(3.0 * 0.5 / 8, rel=0.03)
    assert torch.equal(drawn[0], drawn[2])
    assert abs(torch.corrcoef(torch.stack(drawn[:2]))[0, 1].item()) < 0.03


def test_a_cut_stage_goes_on_to_the_same_bits_with_batches_of_any_size(model, start, sequences, make_task) -> None:
    private = objective(noise_multiplier=1.0, poisson=True)
    task = make_task(objective=private, batch_size=1, epochs=2, horizon_epochs=2, checkpoint_every_s=0.0)
    whole, events = train(model, task, sequences, start)
    middle = [event.state for event in events if isinstance(event, ResumeState)][7]
    resumed, _ = train(model, task, sequences, start, middle)
    assert np.array_equal(resumed.weights, whole.weights)
    assert resumed.metrics == whole.metrics
    assert whole.metrics["steps"] == 20
    assert np.isfinite(whole.weights).all()


def test_the_model_is_left_as_it_was(model, start, sequences, make_task) -> None:
    train(model, make_task(objective=objective(), epochs=1, horizon_epochs=1), sequences, start)
    assert not any(one._forward_hooks or one._backward_hooks for one in model.modules())
    assert not any(hasattr(parameter, "grad_sample") for parameter in model.parameters())
    assert not model.training


def test_models_are_tried_and_those_refused_whose_sequences_cannot_be_told_apart(model) -> None:
    check_gradients(model)
    assert all(parameter.grad is None for parameter in model.parameters())
    gpt2 = ModelSettings(config={"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16})
    with pytest.raises(InputError, match="of type gpt2: dp_sgd cannot clip") as found:
        check_gradients(build_model(gpt2, 300, 0, 64, seed=3))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ranks": 2}, "ranks: 2"),
        ({"precision": "bf16"}, "precision"),
        ({"compile": True}, "compile"),
        ({"checkpoint_activations": True}, "checkpoint_activations"),
    ],
)
def test_what_does_not_go_with_it_is_refused(settings: dict[str, Any], named: str) -> None:
    trainer = TrainerSettings.model_validate({"batch_size": 4, **settings})
    TorchTrainer.check(trainer, "proximal")
    with pytest.raises(ValueError, match=named):
        TorchTrainer.check(trainer, "dp_sgd")
    with pytest.raises(ValueError, match="write backend: torch"):
        DeepSpeedTrainer.check(TrainerSettings(), "dp_sgd")
