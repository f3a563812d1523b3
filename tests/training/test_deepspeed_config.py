"""DeepSpeed's own config inside a trainer's settings."""

import importlib.util
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.training.deepspeed_config import OWNED, decisive
from raysim.training.request import TrainerSettings


def refused(**trainer: Any) -> str:
    with pytest.raises(InputError) as caught:
        validate(TrainerSettings, {"backend": "deepspeed", **trainer}, "x.yaml")
    return str(caught.value)


@pytest.mark.parametrize("key", OWNED)
def test_keys_that_raysim_owns_are_refused_with_advice(key: str) -> None:
    assert f"deepspeed.{key}: raysim sets it; {OWNED[key]}" in refused(deepspeed={key: 1})


@pytest.mark.parametrize(
    ("trainer", "told"),
    [
        ({"deepspeed": {"zero_optimisation": {}}}, "deepspeed.zero_optimisation: unknown key; known here: aio,"),
        ({"deepspeed": {"zero_optimization": {"stage": 4}}}, "zero_optimization.stage: is 4; it is 0, 1, 2 or 3"),
        ({"deepspeed": {"zero_optimization": True}}, "write a mapping, for example {stage: 1}"),
        ({"deepspeed": {"bf16": {"enabled": True}}}, "needs a ZeRO stage of at least 1"),
        (
            {"precision": "bf16", "deepspeed": {"zero_optimization": {"stage": 1}, "fp16": {"enabled": True}}},
            "choose one of them",
        ),
        ({"compile": True}, "compile: is for backend: torch"),
        (
            {"optimizer": "adafactor", "deepspeed": {"zero_optimization": {"stage": 2}}},
            "adafactor needs whole matrices, and ZeRO stage 2 has flat shards of them; write"
            " deepspeed.zero_optimization.stage: 0, or optimizer: adamw or yogi",
        ),
        ({"batch_size": 6, "ranks": 2, "accumulation": 2}, "make it a multiple of 4"),
        ({"backend": "torch", "deepspeed": {"zero_optimization": {}}}, "is given, but backend is torch"),
    ],
)
def test_what_does_not_fit_is_refused(trainer: dict[str, Any], told: str) -> None:
    assert told in refused(**trainer)


def test_a_missing_deepspeed_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "deepspeed" else find(name, *a))
    assert "deepspeed is not installed; pip install 'raysim[deepspeed]'" in refused()


def test_the_decisive_part_of_a_config() -> None:
    given = {
        "zero_optimization": {"reduce_bucket_size": 5e8, "offload_optimizer": {"device": "cpu", "ratio": 0.5}},
        "bf16": {"enabled": False},
        "steps_per_print": 10,
    }
    zero_section = {"stage": 0, "reduce_bucket_size": 500_000_000, "offload_optimizer": {"device": "cpu", "ratio": 0.5}}
    assert decisive(given) == {"zero_optimization": zero_section}
    assert decisive({}) == {"zero_optimization": {"stage": 0}}
