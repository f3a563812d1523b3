"""Every declared input of a recipe is in its key, and what decides no number is not."""

import dataclasses
import typing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.errors import InputError
from raysim.recipe import key_of
from raysim.simulation.strategy import Assignment, Federation, Member, Result
from raysim.simulation.world import World
from raysim.training.models import ModelSettings
from raysim.training.organization import Inventory, ModelSpec
from raysim.training.trainer import Task, TrainerSettings
from strategies.fedavg import FedAvg, FedAvgSettings
from strategies.fedopt import FedAdam, FedOptSettings, FedYogi


def inventory(name: str, fingerprint: str = "", sequences: int = 3) -> Inventory:
    splits = {"train": {"sequences": sequences, "tokens": 64 * sequences}}
    return Inventory(name, fingerprint or f"train {name}", f"valid {name}", splits, (), {}, 0, ((1, 9),))


SPEC = ModelSpec(ModelSettings(config={"model_type": "gpt2", "n_layer": 1}), 300, 0, 64)
WORLD = World(SPEC, TrainerSettings(), "tokenizer", {n: inventory(n) for n in "ab"}, 1, 1, "2.0")
ASSIGNMENT = Assignment(("a",), "model", 2, 4, None, False)


def mutated(settings: TrainerSettings, name: str) -> TrainerSettings:
    """`settings` with another allowed value for the field `name`."""
    field = type(settings).model_fields[name]
    value = getattr(settings, name)
    choices = [c for c in typing.get_args(field.annotation) if c != value]
    if isinstance(value, str):
        return settings.model_copy(update={name: choices[0]})
    other = (value[0], 0.5) if isinstance(value, tuple) else value + 1
    return settings.model_copy(update={name: other})


def stage_key(world: World = WORLD, assignment: Assignment = ASSIGNMENT) -> str:
    return key_of(world.stage(assignment))


# Trainer settings that a stage's key leaves out, because the assignment says what becomes of them.
ELSEWHERE = {"epochs", "client_state"}
# `backend` has one value today, so that there is nothing to change it to.
ONLY_VALUE = {name for name, f in TrainerSettings.model_fields.items() if len(typing.get_args(f.annotation)) == 1}


@pytest.mark.parametrize("name", sorted(set(TrainerSettings.model_fields) - ELSEWHERE - ONLY_VALUE))
def test_every_trainer_setting_is_in_the_key(name: str) -> None:
    changed = dataclasses.replace(WORLD, trainer=mutated(WORLD.trainer, name))
    assert stage_key(changed) != stage_key()


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_what_the_assignment_says_is_not_said_twice(name: str) -> None:
    changed = dataclasses.replace(WORLD, trainer=mutated(WORLD.trainer, name))
    assert stage_key(changed) == stage_key()


def test_the_recipe_of_the_trainer_names_every_setting() -> None:
    assert set(WORLD.trainer.recipe()) == set(TrainerSettings.model_fields) - ELSEWHERE


ASSIGNMENTS: dict[str, Any] = {
    "organizations": ("b",),
    "model": "another",
    "epochs": 3,
    "horizon_epochs": 5,
    "client_state": "stage",
    "keep_state": True,
    "fraction": 0.5,
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Assignment)])
def test_every_field_of_an_assignment_is_in_the_key(name: str) -> None:
    changed = dataclasses.replace(ASSIGNMENT, **{name: ASSIGNMENTS[name]})
    assert stage_key(assignment=changed) != stage_key()


WORLDS: dict[str, list[Any]] = {
    "spec": [
        dataclasses.replace(SPEC, vocab_size=301),
        dataclasses.replace(SPEC, bos_id=1),
        dataclasses.replace(SPEC, context=65),
        dataclasses.replace(SPEC, settings=ModelSettings(config={"model_type": "gpt2", "n_layer": 2})),
        dataclasses.replace(SPEC, settings=SPEC.settings.model_copy(update={"dropout": 0.0})),
        dataclasses.replace(SPEC, settings=ModelSettings(pretrained="someone/model")),
    ],
    "trainer": [TrainerSettings(learning_rate=0.1)],
    "tokenizer": ["another"],
    "inventories": [{"a": inventory("a", "other files"), "b": inventory("b")}],
    "split_seed": [2],
    "seed": [2],
    "libraries": ["2.1"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(f.name, v, id=f"{f.name} {i}")
        for f in dataclasses.fields(World)
        for i, v in enumerate(WORLDS[f.name])
    ],
)
def test_every_field_of_a_world_is_in_the_key(name: str, value: Any) -> None:
    assert stage_key(dataclasses.replace(WORLD, **{name: value})) != stage_key()


def test_the_order_of_a_coalition_is_in_the_key() -> None:
    keys = {stage_key(assignment=dataclasses.replace(ASSIGNMENT, organizations=o)) for o in (("a", "b"), ("b", "a"))}
    assert len(keys) == 2


def test_other_organizations_are_not_in_the_key() -> None:
    """A corpus that a stage does not train on does not decide it: sweeps over organizations share stages."""
    others = {"a": inventory("a"), "c": inventory("c", sequences=9)}
    assert stage_key(dataclasses.replace(WORLD, inventories=others)) == stage_key()


def test_names_and_intervals_are_not_in_the_key() -> None:
    """A task's label and checkpoint interval never reach a recipe: neither World nor Assignment knows of them."""
    told = {f.name for f in dataclasses.fields(World)} | {f.name for f in dataclasses.fields(Assignment)}
    assert not told & {"label", "checkpoint_every_s", "snapshot_epochs"}
    assert {"label", "checkpoint_every_s", "snapshot_epochs"} <= {f.name for f in dataclasses.fields(Task)}
    assert not {"label", "checkpoint_every_s"} & set(WORLD.stage(ASSIGNMENT))


@given(
    a=st.builds(Assignment, st.sampled_from([("a",), ("b",), ("a", "b")]), st.sampled_from("mn"), st.integers(1, 3),
                st.integers(1, 3), st.sampled_from([None, "s", "t"]), st.booleans()),
    b=st.builds(Assignment, st.sampled_from([("a",), ("b",), ("a", "b")]), st.sampled_from("mn"), st.integers(1, 3),
                st.integers(1, 3), st.sampled_from([None, "s", "t"]), st.booleans()),
)  # fmt: skip
def test_equal_keys_exactly_for_equal_assignments(a: Assignment, b: Assignment) -> None:
    assert (stage_key(assignment=a) == stage_key(assignment=b)) == (a == b)


def test_members_are_told_what_the_inventories_say() -> None:
    """b has the fewest lines, 6. Of a's six lines, each twice, 6 of 12 draws miss one with 6 * 5 / (12 * 11)."""
    splits = {"train": {"sequences": 3, "tokens": 200}}
    told = {
        "a": Inventory("a", "ta", "va", splits, (), {}, 3, ((2, 6),)),
        "b": Inventory("b", "tb", "vb", splits, (), {}, 0, ((1, 6),)),
    }
    expected = round(6 * (1 - 6 * 5 / (12 * 11)) / 6, 9)
    members = dataclasses.replace(WORLD, inventories=told).federation.members
    assert members == (Member("a", 3, 200, expected, 0.25), Member("b", 3, 200, 1.0, 0.0))


def test_equal_diversities_tie() -> None:
    """No line stands twice in any of them; the sums are rounded in another way for each size."""
    told = {str(n): dataclasses.replace(inventory("x"), line_spectrum=((1, n),)) for n in range(3, 400, 7)}
    members = dataclasses.replace(WORLD, inventories=told).federation.members
    assert {member.diversity for member in members} == {1.0}


# Aggregations.

FEDERATION = Federation((Member("a", 3, 192, 1.0, 0.0), Member("b", 3, 192, 1.0, 0.0)), 10, "reset")
RESULTS = [Result(ASSIGNMENT, "stage a", 3), Result(ASSIGNMENT, "stage b", 3)]


def aggregation_key(strategy: FedAvg | None = None, model: str = "m", results: list[Result] | None = None) -> str:
    return key_of(WORLD.aggregation(strategy or FedAvg(FedAvgSettings(), FEDERATION), model, results or RESULTS))


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "another"},
        {"results": RESULTS[::-1]},
        {"results": RESULTS[:1]},
        {"results": [RESULTS[0], dataclasses.replace(RESULTS[1], key="another")]},
        {"results": [RESULTS[0], dataclasses.replace(RESULTS[1], num_sequences=4)]},
        {"strategy": FedAdam(FedOptSettings(), FEDERATION)},
    ],
    ids=["state", "order of results", "participation", "a result", "a count", "strategy"],
)
def test_every_input_of_an_aggregation_is_in_the_key(changed: dict[str, Any]) -> None:
    assert aggregation_key(**changed) != aggregation_key()


@pytest.mark.parametrize(
    "settings", [{"eta": 1.0}, {"beta_1": 0.0}, {"beta_2": 0.5}, {"tau": 1.0}, {"variant": "flower"}], ids=str
)
def test_every_number_of_a_server_optimizer_is_in_the_key(settings: dict[str, Any]) -> None:
    keys = {aggregation_key(FedYogi(FedOptSettings(**s), FEDERATION)) for s in ({}, settings)}
    assert len(keys) == 2


@pytest.mark.parametrize("settings", [{"label": "x"}, {"rounds": 3}, {"local_epochs": 2}, {"clients": 1}], ids=str)
def test_what_decides_who_trains_is_not_in_the_key_of_the_sum(settings: dict[str, Any]) -> None:
    """It is in the keys of the results; so settings that come to the same results share the model."""
    assert aggregation_key(FedAvg(FedAvgSettings(**settings), FEDERATION)) == aggregation_key()


def test_weights_are_named_not_hashed() -> None:
    full = [dataclasses.replace(r, weights=np.ones(3, np.float32)) for r in RESULTS]
    assert aggregation_key(results=full) == aggregation_key()


# Initial weights.


def initial_key(**changed: Any) -> str:
    return dataclasses.replace(WORLD, **changed).initial_key()


def test_initial_weights_depend_on_model_seed_and_torch_alone() -> None:
    assert len({initial_key(), initial_key(seed=2), initial_key(libraries="3")}) == 3
    assert len({initial_key(spec=spec) for spec in [SPEC, *WORLDS["spec"]]}) == 7
    for name in ("trainer", "tokenizer", "inventories", "split_seed"):
        assert initial_key(**{name: WORLDS[name][0]}) == initial_key()


def test_a_local_checkpoint_is_named_by_its_content(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"1")

    def key() -> str:
        return initial_key(spec=dataclasses.replace(SPEC, settings=ModelSettings(pretrained=str(tmp_path))))

    first = key()
    (tmp_path / "README.md").write_text("no part of the model")
    assert key() == first
    (tmp_path / "model.safetensors").write_bytes(b"2")
    second = key()
    (tmp_path / "config.json").write_text('{"n_layer": 3}')
    assert len({first, second, key()}) == 3


def test_tokens_and_sequences() -> None:
    both = dataclasses.replace(ASSIGNMENT, organizations=("a", "b"))
    assert WORLD.num_sequences(both) == 6
    assert WORLD.tokens_shown(both) == {"a": 3 * 1024 * 2, "b": 3 * 1024 * 2}
    assert WORLD.num_tokens(both) == 2 * 3 * 1024 * 2


@pytest.mark.parametrize(
    ("sequences", "fraction", "expected"),
    [(3, 1.0, 3), (3, 0.5, 2), (4, 0.5, 2), (3, 0.01, 1), (100, 0.07, 7), (100, 0.29, 29), (1, 1e-12, 1)],
)
def test_a_fraction_is_rounded_up_as_a_person_would(sequences: int, fraction: float, expected: int) -> None:
    """In binary, 0.07 * 100 is a little over 7."""
    world = dataclasses.replace(WORLD, inventories={"a": inventory("a", sequences=sequences)})
    assert world.sequences_of(dataclasses.replace(ASSIGNMENT, fraction=fraction)) == {"a": expected}


def test_a_checkpoint_folder_without_a_config(tmp_path) -> None:
    spec = dataclasses.replace(SPEC, settings=ModelSettings(pretrained=str(tmp_path)))
    with pytest.raises(InputError, match=r"no config\.json"):
        initial_key(spec=spec)
