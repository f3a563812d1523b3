"""What a step takes of memory, by hand, by its laws, and beside a real stage in a process of its own."""

import subprocess
import sys
from typing import Any

import pytest

from raysim.experiment.estimate.memory import ALLOCATOR_RESERVE, PROCESS_BYTES
from raysim.training.dry_run import StepMemory, step_memory
from raysim.training.lora import LoraSettings
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings

GPT2 = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 32}
LLAMA = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64}
LLAMA |= {"num_attention_heads": 2, "num_key_value_heads": 1}


def spec_of(config: dict[str, Any], vocabulary: int = 300, context: int = 64) -> ModelSpec:
    return ModelSpec(ModelSettings(config=config), vocabulary, 0, context)


def needs(config: dict[str, Any], **trainer: Any) -> StepMemory:
    return step_memory(spec_of(config), TrainerSettings(**{"sequence_length": 64, "batch_size": 8, **trainer}))


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_weights_and_moments_are_counted_to_the_byte(config: dict[str, Any]) -> None:
    found = needs(config)
    parameters = spec_of(config).count_parameters()
    model = _model(config)
    assert found.weights == 4 * parameters.total + sum(b.nbytes for b in model.buffers())
    counters = 4 * len(list(model.parameters()))  # of steps
    assert found.optimizer == 2 * 4 * parameters.trained + counters
    assert found.flat == 4 * parameters.trained


def _model(config: dict[str, Any]) -> Any:
    from raysim.training.models import build_model

    return build_model(ModelSettings(config=config), 300, 0, 64)


def test_logits_and_their_gradient_are_there_at_once() -> None:
    """Of a model with nothing but a large vocabulary: logits, their logarithms for the backward pass, its gradients."""
    config = {"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 2}
    one, two = (
        step_memory(spec_of(config, vocabulary), TrainerSettings(sequence_length=64, batch_size=8)).working
        for vocabulary in (10_000, 20_000)
    )
    logits = 4 * 8 * 64 * 10_000
    assert 2.9 * logits < two - one < 4.1 * logits


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_activations_grow_with_the_batch_and_shrink_by_what_a_person_is_told(config: dict[str, Any]) -> None:
    whole = needs(config)
    assert needs(config, batch_size=16).working > 1.8 * whole.working
    assert needs(config, batch_size=16, accumulation=2).working == pytest.approx(whole.working, rel=0.1)
    assert needs(config, checkpoint_activations=True).working < whole.working
    assert needs(config, precision="bf16").working < whole.working


def test_optimizers_keep_what_they_say() -> None:
    adamw, yogi, adafactor = (needs(GPT2, optimizer=name) for name in ("adamw", "yogi", "adafactor"))
    assert adamw.optimizer == yogi.optimizer == adamw.checkpoint - adamw.flat + 4 * len(list(_model(GPT2).parameters()))
    assert adafactor.optimizer < 0.2 * adamw.optimizer
    assert adafactor.checkpoint < 1.2 * adafactor.flat


def test_ranks_share_the_batch_and_exchange_gradients() -> None:
    alone, together = needs(GPT2, batch_size=4), needs(GPT2, ranks=2)
    assert together.working == alone.working
    assert (alone.buckets, together.buckets) == (0, alone.flat)


def test_zero_cuts_what_it_says() -> None:
    ranks = 4

    def zero(stage: int, **others: Any) -> StepMemory:
        config = {"zero_optimization": {"stage": stage, **others}}
        return needs(GPT2, ranks=ranks, backend="deepspeed", deepspeed=config)

    plain, one, two, three = map(zero, range(4))
    # Moments and float32 masters, each 4 bytes a parameter, over the ranks.
    assert one.optimizer == pytest.approx(3 * plain.flat / ranks, rel=0.01)
    assert one.weights == two.weights == plain.weights
    assert one.working - two.working == plain.flat - plain.flat // ranks
    assert three.optimizer == one.optimizer


def test_an_optimizer_that_is_offloaded_is_not_on_the_gpu() -> None:
    zero = {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}
    found = needs(GPT2, backend="deepspeed", deepspeed=zero, device="cuda")
    assert found.optimizer == 0
    assert found.offloaded == pytest.approx(3 * found.flat, rel=0.01)


def test_attention_on_a_gpu_drops_out_without_keeping_its_scores() -> None:
    with_dropout = needs({**GPT2, "attn_pdrop": 0.1}, device="cuda").working
    assert with_dropout == needs({**GPT2, "attn_pdrop": 0.0}, device="cuda").working
    assert with_dropout < needs({**GPT2, "attn_pdrop": 0.1}).working


def test_adapters_train_little_beside_frozen_weights(tmp_path: Any) -> None:
    _model(GPT2).save_pretrained(tmp_path)
    whole, adapted = (
        step_memory(
            ModelSpec(ModelSettings(pretrained=str(tmp_path), lora=lora), 300, 0, 64),
            TrainerSettings(sequence_length=64, batch_size=8),
        )
        for lora in (None, LoraSettings(rank=2))
    )
    assert whole.weights < adapted.weights == whole.weights + adapted.flat
    assert adapted.optimizer < 0.1 * whole.optimizer


REAL = """
import numpy as np
from raysim.training.rank_worker import train_here
from raysim.training.model_host import ModelHost
from raysim.training.request import TrainerSettings, TrainRequest, TrainTask
from tests.training.test_dry_run import LARGE, SETTINGS, spec_of
spec = spec_of(LARGE, 8192, 256)
weights = np.full(spec.count_parameters().trained, 0.01, np.float32)
sequences = np.random.default_rng(1).integers(0, 8192, (24, 256)).astype(np.int32)
task = TrainTask("a stage", TrainerSettings(**SETTINGS), 1, 1, 1)
*_, update = train_here(ModelHost("a"), TrainRequest(spec, task).at_client(sequences, weights))
print(update.speed.peak_memory_bytes)
"""
LARGE = {"model_type": "gpt2", "n_layer": 6, "n_head": 6, "n_embd": 384}
SETTINGS: dict[str, Any] = {"sequence_length": 256, "batch_size": 8}


@pytest.mark.parametrize(
    "reserve",
    [
        pytest.param(True, id="as it is", marks=pytest.mark.stress),
        pytest.param(False, id="with an allocator that keeps nothing"),
    ],
)
def test_a_real_stage_takes_what_was_said(reserve: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a quarter; and within a tenth where the C library gives every block back at once."""
    if not reserve:
        monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    ended = subprocess.run([sys.executable, "-c", REAL], capture_output=True, text=True, check=True)
    found = step_memory(spec_of(LARGE, 8192, 256), TrainerSettings(**SETTINGS))
    expected = PROCESS_BYTES + found.flat + (ALLOCATOR_RESERVE if reserve else 1) * found.peak
    assert int(ended.stdout) == pytest.approx(expected, rel=0.25 if reserve else 0.1)
