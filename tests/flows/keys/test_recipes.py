"""What two pieces of work have in common where they have one key, and in what they differ."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_work import ASSIGNMENT, BASE, COMPARED, FEDERATION, KINDS, keys_of, replaced, stats
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.fedopt import FedAdagrad, FedAdam, FedOptSettings, FedYogi

from raysim.core.errors import InputError
from raysim.core.keys import Key, key_of
from raysim.measures.exposure import exposure_recipe
from raysim.simulation.strategy import ClientUpdate, TrainInstruction
from raysim.training.models import ModelSettings
from raysim.training.objectives import ObjectiveConfig
from raysim.training.request import TrainerSettings


def test_deepspeed_is_in_the_keys_of_what_it_trains(pretend_update: Callable[[str], None]) -> None:
    shard = replaced(BASE, "context.trainer.backend", "deepspeed")
    before = keys_of(shard)
    pretend_update("deepspeed")
    after = keys_of(shard)
    assert {kind for kind in KINDS if before[kind] != after[kind]} == {"train"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"zero_optimization": {"stage": 0}}),
        ({"zero_optimization": {"stage": 2}}, {"zero_optimization": {"stage": 2}, "fp16": {"enabled": False}}),
        ({"bf16": {"enabled": True}}, {"bfloat16": {"enabled": True}}),
        ({"zero_optimization": {"reduce_bucket_size": 5e8}}, {"zero_optimization": {"reduce_bucket_size": 500000000}}),
        ({}, {"steps_per_print": 3, "wall_clock_breakdown": True}),
    ],
)
def test_two_writings_of_a_deepspeed_config_have_one_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    zero = {"stage": 1} if any("bf" in key for key in one) else {}

    def key(config: dict[str, Any]) -> Key:
        config = {**config, "zero_optimization": {**zero, **config.get("zero_optimization", {})}} if zero else config
        settings = TrainerSettings(sequence_length=64, backend="deepspeed", deepspeed=config)
        return keys_of(replaced(BASE, "context.trainer", settings))["train"]

    assert key(one) == key(other)


def test_settings_of_adam_are_in_the_keys_of_optimizers_that_have_them() -> None:
    def key(**given: Any) -> Key:
        return keys_of(replaced(BASE, "context.trainer", TrainerSettings(sequence_length=64, **given)))["train"]

    assert key(optimizer="adamw") == keys_of(BASE)["train"]
    assert "optimizer" not in TrainerSettings().recipe()  # as before there was another one
    for changed in ({"adam_betas": (0.8, 0.99)}, {"adam_epsilon": 1e-3}):
        assert key(optimizer="yogi", **changed) != key(optimizer="yogi")
        assert key(optimizer="adafactor", **changed) == key(optimizer="adafactor")
    assert key(optimizer="adafactor", weight_decay=0.2) != key(optimizer="adafactor")


def test_precision_of_generation_is_the_trainers_unless_it_has_its_own() -> None:
    unset = replaced(BASE, "memorization.precision", None)
    assert keys_of(unset) == keys_of(BASE)
    bf16 = [keys_of(replaced(base, "context.trainer.precision", "bf16")) for base in (BASE, unset)]
    assert bf16[0]["generate"] == keys_of(BASE)["generate"]
    assert bf16[1]["generate"] != keys_of(BASE)["generate"]


@pytest.mark.parametrize(("measure", "kind"), [("memorization", "generate"), ("pass_at_k", "solve")])
def test_what_bf16_comes_to_on_the_drivers_processor_is_in_the_key(measure: str, kind: str) -> None:
    known = replaced(BASE, f"{measure}.precision", "bf16")
    keys, others = keys_of(known), keys_of(replaced(known, "context.bf16", False))
    assert {name for name in KINDS if keys[name] != others[name]} == {kind}
    assert others[kind] != keys_of(BASE)[kind]


@given(st.data())
@settings(max_examples=scaled(50), deadline=None)
def test_equal_keys_exactly_for_equal_instructions(data: st.DataObject) -> None:
    names = st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")])
    few, state = st.integers(1, 2), st.sampled_from([None, "s"])
    objective = st.sampled_from([None, ObjectiveConfig("pull", {"mu": 1.0}), ObjectiveConfig("pull", {"mu": 2.0})])
    part = st.sampled_from([0.5, 1])
    dropped = st.sampled_from([None, 0, 1])
    drawn = st.builds(
        TrainInstruction,
        *(names, st.sampled_from("mn"), few, few, state, st.booleans(), part, objective, dropped),
        objective_state=state,
        epoch_steps=st.sampled_from([None, 1, 2]),
    )
    one, other = data.draw(drawn), data.draw(drawn)
    keys = [keys_of(replaced(BASE, "instruction", instruction))["train"] for instruction in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_another_name_is_another_owner() -> None:
    """Corpora are named by their content; tables of owners, and what a strategy remembers, by organization."""
    client_stats = {"a": BASE.context.client_stats["a"], "z": BASE.context.client_stats["b"]}
    renamed = replaced(BASE, "context.client_stats", client_stats)
    assert {kind for kind in KINDS if keys_of(renamed)[kind] != keys_of(BASE)[kind]} == COMPARED
    mine, another = (exposure_recipe(BASE.context, "model", name, BASE.canaries, BASE.exposure) for name in "ab")
    assert key_of(mine) != key_of(another)  # each has secrets of its own


def test_the_order_of_what_a_model_was_trained_on_does_not_count_for_what_it_has_seen() -> None:
    keys = [keys_of(replaced(BASE, "trained_on", order))["emissions"] for order in (("a", "b"), ("b", "a"))]
    assert keys[0] == keys[1]


def test_other_organizations_are_not_in_the_key_of_a_stage() -> None:
    """A corpus that a stage does not train on does not decide it: sweeps over organizations share stages."""
    more = replaced(BASE, "context.client_stats", {**BASE.context.client_stats, "c": stats("c")})
    assert {kind for kind in KINDS if keys_of(more)[kind] != keys_of(BASE)[kind]} == COMPARED


def test_a_sum_is_named_by_how_it_is_made_and_not_by_who_was_asked() -> None:
    """Who trains is in the keys of the results, so that settings that come to the same results share the model."""

    def key(strategy: FedAvg) -> Key:
        return keys_of(BASE, strategy)["aggregate"]

    for changed in ({"label": "x"}, {"rounds": 3}, {"local_epochs": 2}, {"clients": 1}, {"leave_one_out": True}):
        assert key(FedAvg(FedAvgSettings.model_validate(changed), FEDERATION)) == keys_of(BASE)["aggregate"]
    adaptive = [key(optimizer(FedOptSettings(), FEDERATION)) for optimizer in (FedAdam, FedYogi, FedAdagrad)]
    assert len({keys_of(BASE)["aggregate"], *adaptive}) == 4


@pytest.mark.parametrize("results", [BASE.results[::-1], BASE.results[:1]], ids=["order", "participation"])
def test_order_and_participation_are_in_the_key_of_a_sum(results: tuple[ClientUpdate, ...]) -> None:
    assert keys_of(replaced(BASE, "results", results))["aggregate"] != keys_of(BASE)["aggregate"]


def test_a_local_checkpoint_is_named_by_its_content(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"1")

    def key(name: str) -> Key:
        settings = ModelSettings(pretrained=str(tmp_path / name))
        return keys_of(replaced(BASE, "context.spec.settings", settings))["initial"]

    first = key("one")
    assert key("two") == first
    (tmp_path / "two/README.md").write_text("no part of the model")
    assert key("two") == first
    (tmp_path / "two/model.safetensors").write_bytes(b"2")
    second = key("two")
    (tmp_path / "two/config.json").write_text('{"n_layer": 3}')
    assert len({first, second, key("two")}) == 3


def test_a_checkpoint_folder_without_a_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        keys_of(replaced(BASE, "context.spec.settings", ModelSettings(pretrained=str(tmp_path))))


def test_the_order_of_a_recipe_does_not_count() -> None:
    recipe = BASE.context.stage_recipe(ASSIGNMENT)
    assert key_of(dict(reversed(recipe.items()))) == key_of(recipe)


@pytest.mark.parametrize("recipe", [{"kind": "k"}, {"version": 1}, {"kind": "k", "version": 1, "rate": math.nan}])
def test_a_recipe_says_kind_and_version_and_has_no_nan(recipe: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        key_of(recipe)
