"""Federated rounds of low-rank adapters on a small real run: gaps that are noted, and averages that have none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from raysim.cluster.backend import InlineBackend
from raysim.simulation.loop import StrategyRun, strategy_runs
from raysim.simulation.registry import resolve
from raysim.simulation.run_context import RunContext
from raysim.training.lora import LoraSettings, assign_merged, plain_state
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings, build_model

ROUNDS = {"rounds": 2, "local_epochs": 1}
ARMS: dict[str, tuple[dict[str, Any], Any]] = {
    "factors": ({}, {"fedavg": ROUNDS}),
    "b": ({"train": "b"}, {"fedavg": ROUNDS}),
    "exact": ({"carry_base": True}, {"fedprox": {**ROUNDS, "adapters": "exact"}}),
    "refactored": ({}, {"fedavg": {**ROUNDS, "adapters": "refactored"}}),
    "stepping": ({}, {"fedyogi": ROUNDS}),
}


@pytest.fixture(scope="module")
def federated(run_study, gpt2_spec: Callable[..., ModelSpec], tokenizer, tmp_path_factory) -> Any:
    """One run of every arm, each of two rounds of two organizations, and the specs of their models."""
    plain, folder = gpt2_spec(0.0, tokenizer.vocab_size), tmp_path_factory.mktemp("checkpoint")
    model: Any = build_model(plain.settings, plain.vocab_size, plain.bos_id, plain.context, seed=5)
    model.save_pretrained(folder)
    specs = {}
    for name, (lora, _) in ARMS.items():
        adapters = LoraSettings(rank=2, alpha=4, targets=["c_attn", "c_proj"], **lora)
        specs[name] = replace(plain, settings=ModelSettings(pretrained=str(folder), lora=adapters))

    def choose(context: RunContext) -> list[StrategyRun]:
        return [
            run
            for name, (_, entry) in ARMS.items()
            for run in strategy_runs(resolve(entry, name), replace(context, spec=specs[name]))
        ]

    return run_study(InlineBackend(), [], choose=choose, dropout=0.0, learning_rate=3e-2), specs


def rounds_of(study: Any, name: str) -> list[Any]:
    """The entries of the aggregations of an arm."""
    return [study.store.get(key) for key in study.plan.aggregations[2 * list(ARMS).index(name) :][:2]]


def merged(spec: ModelSpec, flat: np.ndarray) -> dict[str, torch.Tensor]:
    """The whole model by name, adapters merged by peft."""
    model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context)
    assign_merged(model, flat)
    return {name: tensor.double() for name, tensor in plain_state(model).items()}


def lost(study: Any, spec: ModelSpec, entry: Any) -> float:
    """How far a round's model is from the average of the clients' merged models, relative to how far that one moved."""
    keys, counts = entry.recipe["results"], entry.recipe["num_sequences"]
    start = merged(replace(spec, settings=spec.settings.model_copy(update={"lora": None})), flat_of_plain(spec))
    sent = [merged(spec, study.store.get(key).array("weights")) for key in keys]
    made = merged(spec, entry.array("weights"))
    missed = moved = 0.0
    for name in start:
        average = sum(n / sum(counts) * one[name] for n, one in zip(counts, sent, strict=True))
        missed += float((made[name] - average).square().sum())
        moved += float((average - start[name]).square().sum())
    return (missed / moved) ** 0.5


def flat_of_plain(spec: ModelSpec) -> np.ndarray:
    from raysim.training.weights import flatten

    plain = spec.settings.model_copy(update={"lora": None})
    return flatten(build_model(plain, spec.vocab_size, spec.bos_id, spec.context))


def test_exact_averages_are_those_of_merged_models(federated) -> None:
    """The second round starts from matrices that took up what the first one lost."""
    study, specs = federated
    for entry in rounds_of(study, "exact"):
        assert entry.info["norms"]["factor_gap"] > 1e-3
        assert entry.info["norms"]["average_gap"] < 1e-5
        assert lost(study, specs["exact"], entry) < 1e-5
    for entry in rounds_of(study, "b"):
        assert (entry.info["norms"]["factor_gap"], entry.info["norms"]["average_gap"]) == (0.0, 0.0)
        assert lost(study, specs["b"], entry) < 1e-5


def test_gaps_that_are_noted_are_those_of_merged_models(federated) -> None:
    study, specs = federated
    first = {name: rounds_of(study, name)[0].info["norms"] for name in ("factors", "refactored", "stepping")}
    for name in ("factors", "refactored"):
        found = lost(study, specs[name], rounds_of(study, name)[0])
        assert first[name]["average_gap"] == pytest.approx(found, rel=1e-3)
    assert first["factors"]["average_gap"] == pytest.approx(first["factors"]["factor_gap"], rel=1e-4)
    assert 0 < first["refactored"]["average_gap"] < first["factors"]["average_gap"]
    assert first["stepping"]["factor_gap"] == first["factors"]["factor_gap"]
    assert "average_gap" not in first["stepping"]


def test_what_travels(federated) -> None:
    """B alone is less than both; matrices that travel are not trained, and only the server changes them."""
    study, _ = federated
    sizes = {name: rounds_of(study, name)[-1].array("weights").size for name in ARMS}
    assert sizes["b"] < sizes["factors"] == sizes["refactored"] < sizes["exact"]
    one, two = rounds_of(study, "exact")
    trained = sizes["factors"]
    for key in two.recipe["results"]:
        assert np.array_equal(study.store.get(key).array("weights")[trained:], one.array("weights")[trained:])
    assert not np.array_equal(two.array("weights")[trained:], one.array("weights")[trained:])
