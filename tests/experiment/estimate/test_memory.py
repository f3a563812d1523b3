"""What a run needs at once, against what there is, and what a person is told to lower."""

import re
from dataclasses import replace
from typing import Any

import pytest

from raysim.experiment.estimate.memory import GenerationLoad, Load, Machine, memory_needs, this_machine
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts
from raysim.training import dry_run
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings

SPEC = ModelSpec(ModelSettings(config={"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64}), 2000, 0, 128)
MUCH = Machine(1 << 40)


@pytest.fixture(autouse=True)
def steps_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of equal models and settings, whose memory takes a second to work out, is worked out once a session."""
    monkeypatch.setattr(dry_run, "step_memory", _step_memory)


_worked_out = dry_run.step_memory


def _step_memory(spec: ModelSpec, settings: TrainerSettings) -> dry_run.StepMemory:
    known = (repr(spec), repr(settings))
    if known not in _KNOWN:
        _KNOWN[known] = _worked_out(spec, settings)
    return _KNOWN[known]


_KNOWN: dict[tuple[str, str], dry_run.StepMemory] = {}


def load(spec: ModelSpec = SPEC, slots: int = 2, actors: int = 3, **trainer: Any) -> Load:
    settings = TrainerSettings(**{"sequence_length": 128, "batch_size": 8, **trainer})
    generation_load = GenerationLoad(
        "measure.memorization", MemorizationSettings(prompts=PromptCounts(prefix=9)), "fp32", 9, 64
    )
    return Load(spec, settings, (generation_load,), slots=slots, actors=actors, shared=2)


def test_with_room_for_all_nothing_is_warned_of() -> None:
    found = memory_needs(load(), MUCH)
    assert found["warnings"] == []
    assert set(found["generation"]) == {"measure.memorization"}
    assert found["training"]["processes"] == 2


def test_all_at_once_are_those_that_work_those_that_rest_and_the_one_that_leads() -> None:
    two, one = (memory_needs(load(slots=slots), MUCH)["training"] for slots in (2, 1))
    assert two["process_bytes"] == one["process_bytes"]
    resting = 400_000_000 + two["step"]["weights"]
    assert two["at_once_bytes"] - one["at_once_bytes"] == two["process_bytes"] - resting
    apart = memory_needs(load(), replace(MUCH, nodes=2))["training"]
    assert apart["processes"] == 1
    together = memory_needs(replace(load(), one_process=True), MUCH)["training"]
    assert together["at_once_bytes"] < apart["at_once_bytes"]


def test_what_does_not_fit_says_what_to_lower_and_what_that_brings() -> None:
    # Wide logits, so that rows are what takes the room.
    large = load(replace(SPEC, vocab_size=50_000), batch_size=64)
    need = memory_needs(large, MUCH)["training"]["at_once_bytes"]
    (warning,) = (w for w in memory_needs(large, Machine(need))["warnings"] if w.startswith("training"))
    prompt_stats = dict(re.findall(r"[;,] ([^;]*?) needs ([\d.]+) GB", warning.partition("this machine has")[2]))
    assert list(prompt_stats) == [
        "execution.slots: 1",
        "trainer.accumulation: 64 (the same batch)",
        "trainer.checkpoint_activations: true",
        "trainer.precision: bf16",
        "trainer.sequence_length: 64",
    ]
    cut = memory_needs(load(replace(SPEC, vocab_size=50_000), batch_size=64, accumulation=64), MUCH)["training"]
    assert float(prompt_stats["trainer.accumulation: 64 (the same batch)"]) == pytest.approx(
        cut["at_once_bytes"] / 1e9, abs=0.06
    )


def test_a_gpu_that_stages_share_is_told_of_apart() -> None:
    shared = replace(load(device="cuda", gpus=0.5), devices=2)
    found = memory_needs(shared, MUCH)["training"]
    assert found["device_at_once_bytes"] == 2 * found["device_bytes"]
    small = replace(MUCH, device_bytes=found["device_bytes"])
    (warning,) = memory_needs(shared, small)["warnings"]
    assert warning.startswith("training will not fit on the GPU")
    assert "trainer.gpus: 1 needs" in warning
    assert "execution.slots" not in warning


def test_generation_has_a_batch_size_to_lower() -> None:
    need = memory_needs(load(), MUCH)["generation"]["measure.memorization"]["at_once_bytes"]
    warnings = memory_needs(load(), Machine(need))["warnings"]
    assert any("lower measure.memorization.batch_size or execution.slots" in warning for warning in warnings)


def test_this_machine_has_memory() -> None:
    assert 1 << 28 < this_machine("cpu").memory_bytes < 1 << 50


def test_a_model_whose_own_code_fails_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("raysim.training.dry_run.step_memory", fail)
    assert memory_needs(load(), MUCH) == {"unknown": "AssertionError", "warnings": []}


def test_what_a_model_cannot_do_is_no_advice_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = dry_run.step_memory(SPEC, load().trainer)
    need = memory_needs(load(), MUCH)["training"]["at_once_bytes"]
    answers = [first]

    def once(*_: object) -> dry_run.StepMemory:
        if not answers:
            raise RuntimeError("this model's code takes no such shapes")
        return answers.pop()

    monkeypatch.setattr(dry_run, "step_memory", once)
    (warning,) = (w for w in memory_needs(load(), Machine(need))["warnings"] if w.startswith("training"))
    assert "trainer." not in warning.partition("this machine has")[2]
