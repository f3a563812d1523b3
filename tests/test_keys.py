"""Every declared input of every kind of work is in its key, and what decides no number is not.

Fields are found by introspection and changed one at a time. The tables say which kinds of work a field decides, or why
it decides none; a field that no table knows fails here, until someone has decided.
"""

import dataclasses
import math
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import annotated_types
import numpy as np
import pydantic
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from raysim.assembly import tokenizer_recipe
from raysim.config import Settings
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.packing import packing_key, packing_seed
from raysim.corpus.tokens import TrainedTokenizerSettings
from raysim.effectiveness.linting import linting_recipe
from raysim.effectiveness.losses import PerplexitySettings
from raysim.effectiveness.problems import Problem, fingerprint_of_prompts, fingerprint_of_tests
from raysim.effectiveness.settings import PassAtKSettings
from raysim.errors import InputError
from raysim.measuring.recipes import (
    blind_recipe,
    clones_recipe,
    copies_recipe,
    emissions_recipe,
    execution_recipe,
    exposure_recipe,
    extraction_recipe,
    generation_recipe,
    licences_recipe,
    match_recipe,
    membership_recipe,
    prompts_recipe,
    scoring_recipe,
    solution_recipe,
)
from raysim.memorization.exposure import ExposureSettings
from raysim.memorization.membership import MembershipSettings
from raysim.memorization.settings import ExtractionSettings, MemorizationSettings, PromptCounts
from raysim.recipe import Key, key_of
from raysim.simulation.strategy import Assignment, Federation, Member, Result
from raysim.simulation.world import World
from raysim.training.adapters import LoraSettings
from raysim.training.models import ModelSettings
from raysim.training.organization import Inventory, ModelSpec
from raysim.training.trainer import TrainerSettings
from strategies.fedavg import FedAvg, FedAvgSettings
from strategies.fedopt import FedAdagrad, FedAdam, FedOptSettings, FedYogi

# Each kind of work from the real functions, their inputs side by side.


@dataclass(frozen=True)
class Inputs:
    """All that recipes are made of, except for versions; keys of earlier work are given, not followed."""

    world: World
    assignment: Assignment
    results: tuple[Result, ...]
    perplexity: PerplexitySettings
    memorization: MemorizationSettings
    canaries: CanarySettings
    exposure: ExposureSettings
    membership: MembershipSettings
    pass_at_k: PassAtKSettings
    tokenizer: TrainedTokenizerSettings
    texts: str
    references: str
    model: Key
    stage: Key
    epoch: int
    generations: Key
    problems: tuple[Problem, ...]
    solutions: Key
    matches: Key
    trained_on: tuple[str, ...]


def inventory(name: str) -> Inventory:
    splits = {"train": {"files": 2, "sequences": 3, "tokens": 190}, "valid": {"tokens": 5}}
    return Inventory(
        name, f"train {name}", f"valid {name}", splits, ({"reason": "r", "files": 1},), {"MIT": 1}, 0, ((1, 9),)
    )


CONFIG = {"model_type": "gpt2", "n_layer": 1, "resid_pdrop": 0.0}
ASSIGNMENT = Assignment(("a",), "model", 2, 4, "stage", True)
BASE = Inputs(
    world=World(
        ModelSpec(ModelSettings(config=CONFIG), 300, 0, 64),
        TrainerSettings(sequence_length=64),
        "tokenizer",
        {name: inventory(name) for name in "ab"},
        split_seed=1,
        seed=1,
        libraries="torch 2",
        bf16=True,
    ),
    assignment=ASSIGNMENT,
    results=(Result(ASSIGNMENT, "stage a", 3), Result(dataclasses.replace(ASSIGNMENT, organizations=("b",)), "b", 3)),
    perplexity=PerplexitySettings(),
    memorization=MemorizationSettings(
        prompts=PromptCounts(function=3, prefix=2), precision="fp32", extraction=ExtractionSettings()
    ),
    canaries=CanarySettings(),
    exposure=ExposureSettings(),
    membership=MembershipSettings(),
    pass_at_k=PassAtKSettings(precision="fp32"),
    tokenizer=TrainedTokenizerSettings(),
    texts="texts",
    references="references",
    model="model",
    stage="stage",
    epoch=1,
    generations="generations",
    problems=(Problem("P/0", "prompt", "test", "canonical"),),
    solutions="solutions",
    matches="matches",
    trained_on=("a",),
)
FEDERATION = Federation((Member("a", 3, 190, 1.0, 0.0), Member("b", 3, 190, 1.0, 0.0)), 10, "reset")


def keys_of(inputs: Inputs, strategy: FedAvg | None = None) -> dict[str, Key]:
    """The key of each kind of work; what is asked of one organization is asked of ``a``."""
    world, memorization = dataclasses.replace(inputs.world), inputs.memorization  # anew: a world keeps its recipes
    corpus = world.inventories["a"].train_fingerprint
    seed = packing_seed(world.split_seed, corpus, world.tokenizer, world.trainer.sequence_length)
    recipes = {
        "tokenizer": tokenizer_recipe(inputs.tokenizer, inputs.texts, world.split_seed),
        "initial": world.initial,
        "train": world.stage(inputs.assignment),
        "snapshot": World.snapshot(inputs.stage, inputs.epoch),
        "aggregate": world.aggregation(strategy or FedAvg(FedAvgSettings(), FEDERATION), inputs.model, inputs.results),
        "losses": scoring_recipe(world, inputs.model, "a", inputs.perplexity.batch_size),
        "generate": generation_recipe(world, inputs.model, "a", memorization),
        "extract": extraction_recipe(world, inputs.model, "a", memorization),
        "match": match_recipe(world, inputs.generations, memorization, inputs.references),
        "prompts": prompts_recipe(world, "a", memorization, inputs.references),
        "clones": clones_recipe(world, "a", memorization, inputs.references),
        "copies": copies_recipe(world, "a", memorization),
        "emissions": emissions_recipe(world, {"a": inputs.matches}, inputs.trained_on, memorization, inputs.references),
        "exposure": exposure_recipe(world, inputs.model, "a", inputs.canaries, inputs.exposure),
        "membership": membership_recipe(world, inputs.model, "a", inputs.membership),
        "blind": blind_recipe(world, "a", inputs.membership),
        "solve": solution_recipe(world, inputs.model, fingerprint_of_prompts(inputs.problems), inputs.pass_at_k),
        "execute": execution_recipe(inputs.solutions, fingerprint_of_tests(inputs.problems), inputs.pass_at_k),
        "lint": linting_recipe(inputs.solutions),
        "licences": licences_recipe(world, "a", inputs.solutions, inputs.pass_at_k),
    }
    for kind, recipe in recipes.items():
        assert recipe["kind"] == kind
    return {"packing": packing_key(seed)} | {kind: key_of(recipe) for kind, recipe in recipes.items()}


KINDS = set(keys_of(BASE))
COMPARED = {"match", "prompts", "clones", "copies", "emissions"}
"""Kinds of work that compare the lines of all organizations, by name."""
MODEL = "initial train losses generate extract exposure membership solve"

DECIDES: dict[str, str] = {
    "world.spec.settings.config": MODEL,
    "world.spec.settings.pretrained": MODEL,
    "world.spec.settings.dropout": MODEL,
    "world.spec.settings.lora": MODEL,
    "world.spec.vocab_size": MODEL,
    "world.spec.bos_id": MODEL,
    "world.spec.context": MODEL,
    **{f"world.trainer.{name}": "train" for name in (
        "backend", "deepspeed", "batch_size", "accumulation", "ranks", "optimizer", "learning_rate", "schedule",
        "warmup_fraction", "weight_decay", "adam_betas", "adam_epsilon", "gradient_clip", "device", "compile",
        "checkpoint_activations",
    )},
    "world.trainer.sequence_length": "packing train losses generate extract prompts copies membership blind",
    "world.trainer.precision": "train",  # and of generation, where that has none of its own
    "world.trainer.threads": "train losses generate extract exposure membership solve",
    "world.tokenizer": "packing train losses generate extract prompts copies exposure membership blind solve",
    "world.inventories.a.train_fingerprint": (
        "packing train generate extract match prompts clones copies emissions membership blind licences"
    ),
    "world.inventories.a.valid_fingerprint": "losses generate prompts copies membership blind",
    "world.inventories.b.train_fingerprint": "match prompts clones copies emissions",
    "world.split_seed": "tokenizer packing train generate extract prompts copies exposure membership blind solve",
    "world.seed": "initial train",
    "world.libraries": MODEL,
    **{f"assignment.{field.name}": "train" for field in dataclasses.fields(Assignment)},
    "results.0.key": "aggregate",
    "results.0.num_sequences": "aggregate",
    "results.0.assignment.organizations": "aggregate",
    "perplexity.batch_size": "losses",
    "memorization.prompts.function": "generate prompts copies",
    "memorization.prompts.prefix": "generate prompts copies",
    "memorization.prompts.held_out": "generate prompts copies",
    "memorization.prefix_tokens": "generate prompts copies",
    "memorization.function_tokens": "generate prompts copies",
    "memorization.new_tokens": "generate prompts copies",
    **{f"memorization.{name}": "generate" for name in ("samples", "stop", "precision", "batch_size")},
    **{f"memorization.{name}": "generate extract" for name in ("temperature", "top_p", "repetition_penalty")},
    **{f"memorization.extraction.{name}": "extract" for name in (
        "passages", "prefix_tokens", "place", "suffix_tokens", "batch_size",
    )},
    "memorization.min_lines": "match prompts clones copies emissions",
    **{f"canaries.{name}": "exposure" for name in ("repeats", "count", "format", "alphabet", "length")},
    "exposure.candidates": "exposure",
    "exposure.batch_size": "exposure",
    "membership.k": "membership",
    "membership.batch_size": "membership",
    "membership.chunk_tokens": "membership blind",
    "membership.at_most": "membership blind",
    "tokenizer.on": "tokenizer",
    "tokenizer.vocab_size": "tokenizer",
    "tokenizer.sample": "tokenizer",
    "texts": "tokenizer",
    "references": "match prompts clones emissions",
    "model": "aggregate losses generate extract exposure membership solve",
    "stage": "snapshot",
    "epoch": "snapshot",
    "generations": "match",
    "matches": "emissions",
    "trained_on": "emissions",
    **{f"pass_at_k.{name}": "solve" for name in (
        "samples", "new_tokens", "temperature", "top_p", "repetition_penalty", "stop", "precision", "batch_size",
    )},
    "pass_at_k.timeout_s": "execute",
    "pass_at_k.memory": "execute",
    "pass_at_k.min_lines": "licences",
    "problems.0.name": "solve execute",
    "problems.0.prompt": "solve",
    "problems.0.test": "execute",
    "solutions": "execute lint licences",
}  # fmt: skip
"""Which kinds of work a field decides by itself; what follows from another key is not repeated."""

_NAMED = "the mapping names the organization"
_COUNTED = "follows from the corpus and the tokenizer; what is trained on reaches an aggregation with its result"
DECIDES_NOTHING: dict[str, str] = {
    "world.trainer.epochs": "the assignment says how many; see the plan",
    "world.bf16": "generation is in fp32; what it does to bf16 has a test of its own",
    "world.trainer.client_state": "the assignment says what goes on; see the plan",
    "world.trainer.gpus": "who shares a GPU, not what is computed there",
    **{
        f"{name}.when": "which models are asked, not what they answer"
        for name in ("memorization", "exposure", "membership", "pass_at_k")
    },
    "pass_at_k.problems": "their content decides",
    "problems.0.canonical": "no model is shown it",
    "pass_at_k.k": "pass@k follows from how many passed",
    "canaries.organizations": "who has canaries, not which",
    "canaries.place": "where they stand; in the fingerprint of the corpus",
    **{f"results.0.assignment.{name}": "in the key of the result" for name in (
        "model", "epochs", "horizon_epochs", "client_state", "keep_state", "fraction",
    )},
    "results.0.weights": "named by the key of the result",
    "world.inventories.b.valid_fingerprint": "it is not asked",
    **{f"world.inventories.{name}.organization": _NAMED for name in "ab"},
    **{f"world.inventories.{name}.splits": _COUNTED for name in "ab"},
    **{f"world.inventories.{name}.drops": "what is not there" for name in "ab"},
    **{f"world.inventories.{name}.licences": "in the fingerprint" for name in "ab"},
    **{f"world.inventories.{name}.duplicate_lines": "follows from the corpus" for name in "ab"},
    **{f"world.inventories.{name}.line_spectrum": "follows from the corpus" for name in "ab"},
}  # fmt: skip


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Paths of the fields of nested dataclasses and settings; of a tuple its first entry stands for all."""
    prefix = f"{path}." if path else ""
    if isinstance(value, Settings):
        children = {name: getattr(value, name) for name in type(value).model_fields}
    elif dataclasses.is_dataclass(value):
        children = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, Mapping) and any(map(dataclasses.is_dataclass, value.values())):
        children = dict(value)
    elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
        children = {"0": value[0]}
    else:
        yield path
        return
    for name, child in children.items():
        yield from leaves(child, f"{prefix}{name}")


def get(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value[0] if name == "0" else value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


def replaced(value: Any, path: str, new: Any) -> Any:
    """A copy of `value` with another field; settings are validated anew.

    Raises:
        pydantic.ValidationError: the settings do not allow it.
    """
    name, _, rest = path.partition(".")
    child = replaced(get(value, name), rest, new) if rest else new
    if isinstance(value, Settings):
        if len(choices(type(value), name)) == 1:  # there is no other value yet, but there may be
            return value.model_copy(update={name: child})
        return type(value)(**{**dict(value), name: child})
    if isinstance(value, Mapping):
        return {**value, name: child}
    return (child, *value[1:]) if isinstance(value, tuple) else dataclasses.replace(value, **{name: child})


def choices(owner: type, name: str) -> tuple[Any, ...]:
    """The values of a field that is a Literal."""
    annotation = typing.get_type_hints(owner).get(name)
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()


# Where a type does not say enough of what is allowed.
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "fraction": st.floats(0, 1, exclude_min=True),
    "config": st.fixed_dictionaries(
        {"model_type": st.sampled_from(["gpt2", "llama"]), "n_layer": st.integers(1), "resid_pdrop": st.floats(0, 1)}
    ),
    "pass_at_k.k": st.sampled_from([(1,), (1, 2), (5, 1)]),
    "pass_at_k.precision": st.sampled_from(["fp32", "bf16"]),
    "memorization.precision": st.sampled_from(["fp32", "bf16"]),  # none is the trainer's
    "pretrained": st.sampled_from([f"someone/model-{number}" for number in range(9)]),
    "lora": st.builds(
        LoraSettings,
        rank=st.integers(1, 9),
        alpha=st.integers(1, 9),
        dropout=st.floats(0, 0.9),
        targets=st.sampled_from([None, "all-linear", ["c_attn"]]),
    ),
    "organizations": st.permutations("ab").flatmap(lambda order: st.sampled_from([tuple(order), tuple(order[:1])])),
    "weights": st.lists(st.floats(width=32), max_size=3).map(lambda values: np.array(values, np.float32)),
    "world.trainer.batch_size": st.integers(1, 1 << 20),
    **{f"world.trainer.{name}": st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]) for name in ("accumulation", "ranks")},
    "world.trainer.deepspeed": st.fixed_dictionaries(
        {"zero_optimization": st.fixed_dictionaries({"stage": st.integers(0, 3), "overlap_comm": st.booleans()})},
        optional={"prescale_gradients": st.booleans()},
    ),
    "canaries.format": st.sampled_from(["{secret}", "key = {secret}", "x = '{secret}'"]),
    "canaries.alphabet": st.sampled_from(["0123456789", "abcdefghij", "0123456789abcdef"]),
    "trained_on": st.sampled_from([(), ("a",), ("b",), ("a", "b")]),
    "drops": st.lists(st.fixed_dictionaries({"reason": st.text(), "files": st.integers(0)})).map(tuple),
}


def values(owner: type, name: str) -> st.SearchStrategy[Any]:
    """Values of a field by its type and the bounds that it declares."""
    if len(only := choices(owner, name)) == 1:
        return st.sampled_from([*only, "another"])
    if not issubclass(owner, Settings):
        return st.from_type(typing.get_type_hints(owner)[name])
    field = owner.model_fields[name]
    bounds = [m for m in field.metadata if isinstance(m, annotated_types.BaseMetadata)]
    parts = typing.get_args(field.annotation)
    kinds: tuple[Any, ...] = parts if type(None) in parts else (field.annotation,)
    # A bound is for the number, not for its absence.
    annotations: list[Any] = [Annotated[k, *bounds] if bounds and k is not type(None) else k for k in kinds]
    return st.one_of([st.from_type(annotation) for annotation in annotations])


def same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


# A base on which a field means something, where that is not the usual one.
GIVEN: dict[str, tuple[str, Any]] = {
    **{
        f"world.spec.settings.{name}": ("world.spec.settings", ModelSettings(pretrained="someone/model"))
        for name in ("pretrained", "lora")
    },
    "world.trainer.deepspeed": ("world.trainer", TrainerSettings(sequence_length=64, backend="deepspeed")),
    **{
        f"world.trainer.{name}": ("world.trainer", TrainerSettings(sequence_length=64, batch_size=24))
        for name in ("accumulation", "ranks")
    },
}


def test_every_field_has_been_decided_on() -> None:
    assert set(leaves(BASE)) == {*DECIDES, *DECIDES_NOTHING}
    assert not DECIDES.keys() & DECIDES_NOTHING
    assert {kind for kinds in DECIDES.values() for kind in kinds.split()} == KINDS


@pytest.mark.parametrize("path", [*DECIDES, *DECIDES_NOTHING])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_a_field_changes_the_keys_that_it_decides_and_no_other(path: str, data: st.DataObject) -> None:
    base = replaced(BASE, *GIVEN[path]) if path in GIVEN else BASE
    parent, _, name = path.rpartition(".")
    owner = type(get(base, parent) if parent else base)
    strategy = DRAWN[path] if path in DRAWN else DRAWN[name] if name in DRAWN else values(owner, name)

    def draw() -> Inputs:
        try:
            return replaced(base, path, data.draw(strategy))
        except pydantic.ValidationError:
            assume(False)
            raise

    one, other = draw(), draw()
    assume(not same(get(one, path), get(other, path)))
    before, after = keys_of(one), keys_of(other)
    assert {kind for kind in KINDS if before[kind] != after[kind]} == set(DECIDES.get(path, "").split())


def test_deepspeed_is_in_the_keys_of_what_it_trains(pretend_update: Callable[[str], None]) -> None:
    shard = replaced(BASE, "world.trainer.backend", "deepspeed")
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
        return keys_of(replaced(BASE, "world.trainer", settings))["train"]

    assert key(one) == key(other)


def test_settings_of_adam_are_in_the_keys_of_optimizers_that_have_them() -> None:
    def key(**given: Any) -> Key:
        return keys_of(replaced(BASE, "world.trainer", TrainerSettings(sequence_length=64, **given)))["train"]

    assert key(optimizer="adamw") == keys_of(BASE)["train"]
    assert "optimizer" not in TrainerSettings().recipe()  # as before there was another one
    for changed in ({"adam_betas": (0.8, 0.99)}, {"adam_epsilon": 1e-3}):
        assert key(optimizer="yogi", **changed) != key(optimizer="yogi")
        assert key(optimizer="adafactor", **changed) == key(optimizer="adafactor")
    assert key(optimizer="adafactor", weight_decay=0.2) != key(optimizer="adafactor")


def test_precision_of_generation_is_the_trainers_unless_it_has_its_own() -> None:
    unset = replaced(BASE, "memorization.precision", None)
    assert keys_of(unset) == keys_of(BASE)
    bf16 = [keys_of(replaced(base, "world.trainer.precision", "bf16")) for base in (BASE, unset)]
    assert bf16[0]["generate"] == keys_of(BASE)["generate"]
    assert bf16[1]["generate"] != keys_of(BASE)["generate"]


@pytest.mark.parametrize(("measure", "kind"), [("memorization", "generate"), ("pass_at_k", "solve")])
def test_what_bf16_comes_to_on_the_drivers_processor_is_in_the_key(measure: str, kind: str) -> None:
    known = replaced(BASE, f"{measure}.precision", "bf16")
    keys, others = keys_of(known), keys_of(replaced(known, "world.bf16", False))
    assert {name for name in KINDS if keys[name] != others[name]} == {kind}
    assert others[kind] != keys_of(BASE)[kind]


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_equal_keys_exactly_for_equal_assignments(data: st.DataObject) -> None:
    names = st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")])
    few, state = st.integers(1, 2), st.sampled_from([None, "s"])
    drawn = st.builds(
        Assignment, names, st.sampled_from("mn"), few, few, state, st.booleans(), st.sampled_from([0.5, 1])
    )
    one, other = data.draw(drawn), data.draw(drawn)
    keys = [keys_of(replaced(BASE, "assignment", assignment))["train"] for assignment in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_another_name_is_another_owner() -> None:
    """Corpora are named by their content; tables of owners, and what a strategy remembers, by organization."""
    inventories = {"a": BASE.world.inventories["a"], "z": BASE.world.inventories["b"]}
    renamed = replaced(BASE, "world.inventories", inventories)
    assert {kind for kind in KINDS if keys_of(renamed)[kind] != keys_of(BASE)[kind]} == COMPARED
    mine, another = (exposure_recipe(BASE.world, "model", name, BASE.canaries, BASE.exposure) for name in "ab")
    assert key_of(mine) != key_of(another)  # each has secrets of its own


def test_the_order_of_what_a_model_was_trained_on_does_not_count_for_what_it_has_seen() -> None:
    keys = [keys_of(replaced(BASE, "trained_on", order))["emissions"] for order in (("a", "b"), ("b", "a"))]
    assert keys[0] == keys[1]


def test_other_organizations_are_not_in_the_key_of_a_stage() -> None:
    """A corpus that a stage does not train on does not decide it: sweeps over organizations share stages."""
    more = replaced(BASE, "world.inventories", {**BASE.world.inventories, "c": inventory("c")})
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
def test_order_and_participation_are_in_the_key_of_a_sum(results: tuple[Result, ...]) -> None:
    assert keys_of(replaced(BASE, "results", results))["aggregate"] != keys_of(BASE)["aggregate"]


def test_a_local_checkpoint_is_named_by_its_content(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"1")

    def key(name: str) -> Key:
        return keys_of(replaced(BASE, "world.spec.settings", ModelSettings(pretrained=str(tmp_path / name))))["initial"]

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
        keys_of(replaced(BASE, "world.spec.settings", ModelSettings(pretrained=str(tmp_path))))


# The recipe itself.


def test_the_order_of_a_recipe_does_not_count() -> None:
    recipe = BASE.world.stage(ASSIGNMENT)
    assert key_of(dict(reversed(recipe.items()))) == key_of(recipe)


@pytest.mark.parametrize("recipe", [{"kind": "k"}, {"version": 1}, {"kind": "k", "version": 1, "rate": math.nan}])
def test_a_recipe_says_kind_and_version_and_has_no_nan(recipe: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        key_of(recipe)


# Versions: of the kinds of work, of libraries, and of Python.

VERSIONS: dict[str, str] = {
    "TOKENIZER_VERSION": "tokenizer",
    "PACKING_VERSION": "packing train generate extract prompts copies membership blind",
    "INITIAL_VERSION": "initial",
    "TRAIN_VERSION": "train snapshot",
    "AGGREGATE_VERSION": "aggregate",
    "LOSSES_VERSION": "losses",
    "PROMPTS_VERSION": "generate prompts copies",
    "GENERATION_VERSION": "generate solve",
    "EXTRACTION_VERSION": "extract",
    "MATCHING_VERSION": "match prompts clones copies emissions",
    "OVERLAP_VERSION": "copies emissions",
    "CANARIES_VERSION": "exposure",
    "EXPOSURE_VERSION": "exposure",
    "MEMBERSHIP_VERSION": "membership blind",
    "BLIND_VERSION": "blind",
    "PROBLEMS_VERSION": "solve execute",
    "EXECUTION_VERSION": "execute",
    "LINTING_VERSION": "lint",
    "LICENCES_VERSION": "licences",
}


def test_every_numerics_version_has_been_decided_on() -> None:
    declared = re.compile(r"^([A-Z_]*VERSION) = \d+$", re.MULTILINE)
    root = Path(__file__).parent.parent
    paths = [*root.glob("raysim/**/*.py"), *root.glob("strategies/**/*.py")]
    sources = [path.read_text(encoding="utf-8") for path in paths]
    assert {name for source in sources for name in declared.findall(source)} == set(VERSIONS)


@pytest.mark.parametrize("name", VERSIONS)
def test_a_numerics_version_is_in_the_keys_of_its_kind(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(BASE)
    for module in [module for path, module in sys.modules.items() if path.startswith("raysim.")]:
        if hasattr(module, name):
            monkeypatch.setattr(module, name, 1000)
    after = keys_of(BASE)
    assert {kind for kind in KINDS if before[kind] != after[kind]} == set(VERSIONS[name].split())


LIBRARIES = {
    "numpy": "tokenizer packing generate prompts copies blind execute",
    "tokenizers": "tokenizer packing generate prompts copies blind",
    "scipy": "exposure blind",
    "scikit-learn": "blind",
    "python": "generate prompts copies execute",
    "ruff": "lint",
    "torch": "",
    "transformers": "",
    "deepspeed": "",
}
"""Which kinds name a library in their own recipe; the others find it in `World.libraries`."""


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_in_the_keys_of_what_it_decides(library: str, pretend_update: Callable[[str], None]) -> None:
    before = keys_of(BASE)
    pretend_update(library)
    after = keys_of(BASE)
    assert {kind for kind in KINDS if before[kind] != after[kind]} == set(LIBRARIES[library].split())
