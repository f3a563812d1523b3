"""Adapters that are averaged right, every form of upload, and what clients keep for scaffold, on Ray: the bits of this
process, also across rounds."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from raysim.cluster.backend import Backend, InlineBackend
from raysim.cluster.ray_backend import RayBackend
from raysim.simulation.loop import StrategyRun, strategy_runs
from raysim.simulation.registry import resolve
from raysim.simulation.run_context import RunContext
from raysim.training.lora import LoraSettings
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings, build_model

Arms = dict[str, tuple[dict[str, Any] | None, dict[str, Any]]]
"""For each label the settings of adapters, if there are any, and those of fedavg."""

ARMS: Arms = {
    "ffa": ({"train": "b"}, {}),
    "exact": ({"carry_base": True}, {"adapters": "exact"}),
    "sparse": (None, {"compression": {"top_k": {"share": 0.01}}}),
    "int8": (None, {"compression": {"int8": {}}}),
    "masked": (None, {"secure_aggregation": {"threshold": 2}}),
}
MORE: Arms = {
    **ARMS,
    "refactored": ({}, {"adapters": "refactored"}),
    "sparse adapters": ({"train": "b"}, {"compression": {"top_k": {"share": 0.1}}}),
    "masked adapters": ({"train": "b"}, {"secure_aggregation": {"threshold": 2}}),
    "nearest": (None, {"compression": {"int8": {"rounding": "nearest", "error_feedback": True}}}),
}


@pytest.fixture(scope="module")
def study(
    run_study, gpt2_spec: Callable[..., ModelSpec], tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Runs scaffold and all arms on a backend."""
    plain, folder = gpt2_spec(0.0, tokenizer.vocab_size), tmp_path_factory.mktemp("checkpoint")
    model: Any = build_model(plain.settings, plain.vocab_size, plain.bos_id, plain.context, seed=5)
    model.save_pretrained(folder)

    def spec(lora: dict[str, Any] | None) -> ModelSpec:
        if lora is None:
            return plain
        adapters = LoraSettings(rank=2, alpha=4, targets=["c_attn", "c_proj"], **lora)
        return replace(plain, settings=ModelSettings(pretrained=str(folder), lora=adapters))

    def run(backend: Backend, arms: Arms, rounds: int, **options: Any) -> Any:
        def choose(context: RunContext) -> list[StrategyRun]:
            sgd = replace(context, spec=plain, trainer=context.trainer.model_copy(update=SGD))
            return [
                *strategy_runs(resolve({"scaffold": {"rounds": rounds, "clients": 1}}, "scaffold"), sgd),
                *(
                    run
                    for label, (lora, settings) in arms.items()
                    for run in strategy_runs(
                        resolve({"fedavg": {"label": label, "rounds": rounds, "local_epochs": 1, **settings}}, label),
                        replace(context, spec=spec(lora)),
                    )
                ),
            ]

        return run_study(backend, [], choose=choose, dropout=0.0, learning_rate=1e-2, **options)

    return run


SGD = {"optimizer": "sgd", "learning_rate": 0.5, "schedule": "constant", "warmup_fraction": 0.0, "weight_decay": 0.0}


def arrays(study: Any) -> dict[tuple[str, str], bytes]:
    """Every array of every piece of work, weights and what clients keep."""
    entries = [study.store.get(key) for key in sorted(study.used)]
    return {(e.key, name): np.asarray(e.array(name)).tobytes() for e in entries for name in e.array_names()}


def on_ray(study: Callable[..., Any], arms: Arms, rounds: int, **options: Any) -> Any:
    backend = RayBackend(None, 2)
    try:
        return study(backend, arms, rounds, slots=2, **options)
    finally:
        backend.close()


@pytest.mark.slow
def test_ray_equals_inline(study: Callable[..., Any], ray_session: None) -> None:
    inline, there = study(InlineBackend(), ARMS, 2), on_ray(study, ARMS, 2)
    assert len(inline.keys("aggregate")) == 2 * (1 + len(ARMS))
    assert inline.used == there.used
    assert arrays(inline) == arrays(there)


@pytest.mark.stress
@pytest.mark.parametrize("client_state", ["reset", "keep"])
def test_more_of_them_for_longer(study: Callable[..., Any], ray_session: None, client_state: str) -> None:
    options = {"organizations": ("alpha", "beta", "gamma"), "client_state": client_state}
    inline, there = study(InlineBackend(), MORE, 4, **options), on_ray(study, MORE, 4, **options)
    assert inline.used == there.used
    assert arrays(inline) == arrays(there)
