"""What the DeepSpeed backend does beside the contract of all trainers: 16 bits, offload, refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.core.errors import InputError, RunError
from raysim.core.settings import validate
from raysim.training.deepspeed_engine import DeepSpeedTrainer, config_of
from raysim.training.models import build_model
from raysim.training.request import ResumeState, TrainerSettings, Update
from raysim.training.torch_engine import TorchTrainer
from raysim.training.weights import flatten


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model(gpt2_spec):
    spec = gpt2_spec(dropout=0.0)
    return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3)


def train(model, task, sequences, weights, resume=None) -> tuple[Update, list[Any]]:
    trainer = DeepSpeedTrainer(model) if task.settings.backend == "deepspeed" else TorchTrainer(model)
    *events, update = trainer.train(make_request(task, sequences, weights, None, resume))
    assert isinstance(update, Update)
    return update, events


def distance(one, other) -> float:
    return float(np.linalg.norm(one.astype(np.float64) - other) / np.linalg.norm(other.astype(np.float64)))


def zero(stage: int, **more: Any) -> dict[str, Any]:
    return {"backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": stage}, **more}}


def check_resume(model, make_task, sequences, start, settings: dict[str, Any]) -> Update:
    given = {"epochs": 3, "horizon_epochs": 3, "keep_state": True, **settings}
    whole, _ = train(model, make_task(**given), sequences, start)
    _, events = train(model, make_task(checkpoint_every_s=0.0, **given), sequences, start)
    checkpoints = [event.state for event in events if isinstance(event, ResumeState)]
    for checkpoint in (checkpoints[0], checkpoints[5]):
        resumed, _ = train(model, make_task(**given), sequences, np.zeros_like(start), checkpoint)
        assert np.array_equal(resumed.weights, whole.weights)
        assert resumed.metrics == whole.metrics
        assert resumed.client_state is not None
        assert whole.client_state is not None
        assert resumed.client_state.counters == whole.client_state.counters
    return whole


@pytest.mark.parametrize("stage", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_bf16_parameters_keep_float32_masters(model, make_task, sequences, stage: int) -> None:
    """Masters start as the weights that were given, leave unrounded, and come back so."""
    start = flatten(model)
    plain, _ = train(model, make_task(epochs=3, horizon_epochs=3), sequences, start)
    update = check_resume(model, make_task, sequences, start, zero(stage, bf16={"enabled": True}))
    assert 1e-6 < distance(update.weights, plain.weights) < 0.05
    rounded = torch.from_numpy(update.weights.copy()).bfloat16().float().numpy()
    assert not np.array_equal(rounded, update.weights)
    still, _ = train(model, make_task(learning_rate=1e-30, **zero(stage, bf16={"enabled": True})), sequences, start)
    assert np.abs(still.weights - start).max() < 1e-25  # rounding would have moved them by up to 1e-3


@pytest.mark.parametrize("stage", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_fp16_goes_on_with_its_loss_scale(model, make_task, sequences, stage: int, monkeypatch) -> None:
    """A scale that starts too high is halved at each of the first steps, which are not taken; it grows again later."""
    from deepspeed.accelerator import get_accelerator

    # Torch computes with float16 on any CPU; DeepSpeed asks for instructions that make it fast.
    monkeypatch.setattr(type(get_accelerator()), "is_fp16_supported", lambda self: True)
    fp16 = {"enabled": True, "initial_scale_power": 24, "loss_scale_window": 3, "hysteresis": 1}
    start = flatten(model)
    plain, _ = train(model, make_task(epochs=3, horizon_epochs=3), sequences, start)
    update = check_resume(model, make_task, sequences, start, zero(stage, fp16=fp16))
    assert update.client_state is not None
    counters = update.client_state.counters
    assert 0 < counters["steps_applied"] < counters["past_steps"] == 9
    assert counters["cur_scale"] < 2**24
    assert 1e-6 < distance(update.weights, plain.weights) < 0.2


@pytest.mark.parametrize(
    "offload",
    [
        {"stage": 2, "offload_optimizer": {"device": "cpu"}},
        {"stage": 3, "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}},
    ],
)
def test_offload_comes_to_the_same_weights(model, make_task, sequences, offload: dict[str, Any]) -> None:
    start = flatten(model)
    plain, _ = train(model, make_task(), sequences, start)
    settings = {"backend": "deepspeed", "deepspeed": {"zero_optimization": offload}}
    update, _ = train(model, make_task(**settings), sequences, start)
    assert distance(update.weights, plain.weights) < 1e-5


def test_model_and_torch_are_as_they_were_after_deepspeed_has_trained(model, make_task, sequences) -> None:
    start, linear = flatten(model), torch.nn.functional.linear
    before, _ = train(model, make_task(), sequences, start)
    train(model, make_task(**zero(3)), sequences, start)
    after, _ = train(model, make_task(), sequences, start)
    assert np.array_equal(before.weights, after.weights)
    assert torch.nn.functional.linear is linear


def test_what_deepspeed_refuses_is_said_with_the_stage(model, make_task, sequences) -> None:
    settings = {"backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": 1, "no_such_key": 1}}}
    with pytest.raises(RunError, match=r"^the stage: DeepSpeed refuses trainer\.deepspeed: .*no_such_key"):
        train(model, make_task(**settings), sequences, flatten(model))


# The config.


def refused(**trainer: Any) -> str:
    with pytest.raises(InputError) as caught:
        validate(TrainerSettings, {"backend": "deepspeed", **trainer}, "x.yaml")
    return str(caught.value)


def test_what_deepspeed_is_told() -> None:
    settings = TrainerSettings(
        backend="deepspeed", deepspeed={"zero_optimization": {"stage": 2}}, batch_size=24, ranks=3, accumulation=2
    )
    assert config_of(settings) == {
        "zero_optimization": {"stage": 2},
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 2,
        "gradient_clipping": 1.0,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    assert settings.deepspeed == {"zero_optimization": {"stage": 2}}
