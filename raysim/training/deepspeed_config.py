"""DeepSpeed's own config inside a trainer's settings: which keys it may have, and which of them decide numbers."""

import importlib.util
from collections.abc import Mapping
from typing import Any

OWNED = {
    "train_batch_size": "set trainer.batch_size",
    "train_micro_batch_size_per_gpu": "set trainer.batch_size, trainer.ranks and trainer.accumulation",
    "gradient_accumulation_steps": "set trainer.accumulation",
    "managed_gradient_accumulation": "set trainer.accumulation",
    "gradient_clipping": "set trainer.gradient_clip",
    "optimizer": "set trainer.optimizer, learning_rate, weight_decay, adam_betas and adam_epsilon",
    "scheduler": "set trainer.schedule and trainer.warmup_fraction",
    "zero_allow_untested_optimizer": "leave it out: the optimizer is known to work",
    "zero_force_ds_cpu_optimizer": "leave it out: the optimizer needs no compiler",
    "activation_checkpointing": "set trainer.checkpoint_activations",
    "torch_autocast": "set trainer.precision: bf16, which runs under autocast",
    "amp": "set trainer.precision: bf16",
    "elasticity": "set trainer.ranks: the number of ranks decides bits",
    "autotuning": "set what it should try in a sweep",
    "curriculum_learning": "leave it out: the order of sequences is part of a stage's key",
    "data_efficiency": "leave it out: the order of sequences is part of a stage's key",
    "tensor_parallel": "leave it out: ranks share data alone",
    "sequence_parallel_size": "leave it out: ranks share data alone",
    "expert_parallel": "leave it out: ranks share data alone",
    "pipeline": "leave it out: ranks share data alone",
}
"""Keys that raysim sets itself or has no use for, and what to write instead."""

OBSERVES = frozenset(
    (
        "checkpoint", "comet", "comms_logger", "csv_monitor", "disable_python_gc", "dump_state", "flops_profiler",
        "log_level", "memory_breakdown", "nebula", "steps_per_print", "tensorboard", "wall_clock_breakdown", "wandb",
    )
)  # fmt: skip
"""Keys that say what is printed and written beside training; they decide no number."""

DECIDES = frozenset(
    (
        "aio", "bf16", "bfloat16", "communication_data_type", "data_types", "disable_allgather", "fp16",
        "gradient_allreduce_op", "gradient_predivide_factor", "prescale_gradients", "sparse_gradients", "zenflow",
        "zero_optimization",
    )
)  # fmt: skip
"""Keys that are handed on."""


def stage_of(config: Mapping[str, Any]) -> int:
    """The ZeRO stage of a config."""
    return config.get("zero_optimization", {}).get("stage", 0)


def keeps_bits(config: Mapping[str, Any]) -> str | None:
    """``bf16`` or ``fp16`` if the model's parameters have 16 bits, with float32 masters at the optimizer."""
    names = {"bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16"}
    on = {short for name, short in names.items() if config.get(name, {}).get("enabled")}
    return min(on) if on else None


def check_config(config: Mapping[str, Any], precision: str) -> None:
    """Says what is wrong with the config of an experiment; what DeepSpeed knows better it says when it starts.

    Raises:
        ValueError: the key, and what to write.
    """
    if importlib.util.find_spec("deepspeed") is None:
        raise ValueError(
            "backend: deepspeed is not installed; pip install 'raysim[deepspeed]', or write backend: torch"
        )
    for key in config:
        if key in OWNED:
            raise ValueError(f"deepspeed.{key}: raysim sets it; {OWNED[key]}")
        if key not in OBSERVES | DECIDES:
            known = ", ".join(sorted(OBSERVES | DECIDES))
            raise ValueError(f"deepspeed.{key}: unknown key; known here: {known}")
    for key in ("zero_optimization", "bf16", "bfloat16", "fp16"):
        if not isinstance(config.get(key, {}), Mapping):
            raise ValueError(f"deepspeed.{key}: is {config[key]!r}; write a mapping, for example {_EXAMPLES[key]}")
    stage, bits = stage_of(config), keeps_bits(config)
    if isinstance(stage, bool) or stage not in (0, 1, 2, 3):
        raise ValueError(f"deepspeed.zero_optimization.stage: is {stage!r}; it is 0, 1, 2 or 3")
    if bits and stage == 0:
        raise ValueError(f"deepspeed.{bits}: needs a ZeRO stage of at least 1, which keeps float32 masters; set it")
    if bits == "fp16" and precision == "bf16":
        raise ValueError("deepspeed.fp16: is enabled, and trainer.precision is bf16; choose one of them")


_EXAMPLES = {"zero_optimization": "{stage: 1}", "bf16": "{enabled: true}"}
_EXAMPLES |= {"bfloat16": _EXAMPLES["bf16"], "fp16": _EXAMPLES["bf16"]}


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that decides numbers, in one writing: for a stage's key.

    Sections that are off or empty are as good as absent, ZeRO has a stage, ``5e8`` is 500000000.
    """
    found = {key: _canonical(value) for key, value in config.items() if key in DECIDES}
    if "bfloat16" in found:
        found["bf16"] = {**found.pop("bfloat16"), **found.get("bf16", {})}
    for key in ("bf16", "fp16"):
        if key in found and not found[key].get("enabled"):
            del found[key]
    found["zero_optimization"] = {"stage": stage_of(config), **found.get("zero_optimization", {})}
    return {key: value for key, value in found.items() if value not in (None, {}, [])}


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _canonical(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
