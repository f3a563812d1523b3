"""Every declared input of every kind of work is in its key, and what decides no number is not.

Fields are found by introspection and changed one at a time. The tables say which kinds of work a field decides, or why
it decides none; a field that no table knows fails here, until someone has decided.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import annotated_types
import numpy as np
import pydantic
import pytest
from examples import scaled
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from keyed_work import BASE, KINDS, Inputs, choices, get, keys_of, replaced

from raysim.core.settings import Settings
from raysim.measures.memorization.settings import OutputFilterSettings
from raysim.simulation.strategy import Importance, Replay, TrainInstruction
from raysim.training.compression import Int8, TopK
from raysim.training.goldfish import GoldfishSettings
from raysim.training.lora import LoraSettings
from raysim.training.models import ModelSettings, PretrainSettings
from raysim.training.objectives import ObjectiveConfig
from raysim.training.request import TrainerSettings

MODEL = "initial train losses training_losses generate extract exposure recital membership solve privacy_audit fisher"

DECIDES: dict[str, str] = {
    "context.spec.settings.config": MODEL,
    "context.spec.settings.pretrained": MODEL,
    "context.spec.settings.revision": MODEL,
    "context.spec.settings.dropout": MODEL,
    "context.spec.settings.lora": MODEL,
    "context.spec.vocab_size": MODEL,
    "context.spec.bos_id": MODEL,
    "context.spec.context": MODEL,
    **{f"context.trainer.{name}": "train" for name in (
        "backend", "app", "app_config", "deepspeed", "batch_size", "accumulation", "ranks", "optimizer",
        "learning_rate", "schedule", "warmup_fraction", "weight_decay", "adam_betas", "adam_epsilon", "gradient_clip",
        "device", "compile", "checkpoint_activations",
    )},
    "context.trainer.goldfish": "train fisher",
    "context.trainer.sequence_length": (
        "packing train losses training_losses generate extract prompts copies recital membership blind baselines"
        " privacy_audit fisher"
    ),
    "context.trainer.precision": "train",  # and of generation, where that has none of its own
    "context.trainer.threads": (
        "train losses training_losses generate extract exposure recital membership solve privacy_audit fisher"
    ),
    "context.tokenizer": (
        "packing train losses training_losses generate extract prompts copies exposure recital membership blind"
        " baselines solve privacy_audit fisher"
    ),
    "context.client_stats.a.train_fingerprint": (
        "packing train training_losses generate extract match prompts clones held_out_copies copies emissions"
        " study_counts renamed renamed_chance membership blind baselines licences fisher"
    ),
    "context.client_stats.a.valid_fingerprint": (
        "losses generate prompts copies held_out_copies renamed_chance membership blind baselines"
    ),
    "context.client_stats.a.languages": "generate prompts copies",  # but Python, which parses itself
    "context.client_stats.a.test_fingerprint": "held_out_copies renamed_chance",
    "context.client_stats.b.train_fingerprint": (
        "match prompts clones held_out_copies copies emissions study_counts renamed renamed_chance baselines"
    ),
    "context.split_seed": (
        "tokenizer packing train training_losses generate extract prompts copies exposure recital membership blind"
        " baselines privacy_audit fisher"
    ),
    "context.seed": "initial train generate solve",
    "context.libraries": MODEL,
    **{f"instruction.{field.name}": "train" for field in dataclasses.fields(TrainInstruction)},
    "results.0.key": "aggregate",
    "results.0.num_sequences": "aggregate",
    "results.0.instruction.organizations": "aggregate",
    "perplexity.batch_size": "losses training_losses",
    "perplexity.training_sequences": "training_losses",
    "memorization.prompts.function": "generate prompts copies",
    "memorization.prompts.prefix": "generate prompts copies",
    "memorization.prompts.held_out": "generate prompts copies",
    "memorization.prompts.planted": "generate prompts copies",
    "memorization.prefix_tokens": "generate prompts copies",
    "memorization.function_tokens": "generate prompts copies",
    "memorization.new_tokens": "generate prompts copies",
    "memorization.strip_prompts": "generate prompts copies",
    "memorization.held_out_prompts": "generate prompts copies",
    "memorization.clean_up_spaces": "generate",
    **{f"memorization.{name}": "generate" for name in ("samples", "stop", "precision", "batch_size")},
    **{f"memorization.{name}": "generate extract" for name in ("temperature", "top_p")},
    "memorization.repetition_penalty": "generate",  # (n, p)-discoverable extraction has none
    **{f"memorization.extraction.{name}": "extract" for name in (
        "passages", "prefix_tokens", "place", "suffix_tokens", "batch_size",
    )},
    "memorization.output_filter": "generate",
    "memorization.window_in_prompt": "match",
    "memorization.min_lines": "match prompts clones held_out_copies copies emissions study_counts renamed_chance",
    "memorization.renamed.min_tokens": "renamed renamed_chance",
    "memorization.study_counts.simian": "study_counts",
    **{f"canaries.{name}": "exposure" for name in ("repeats", "count", "format", "alphabet", "length", "place")},
    "sequence_canaries.count": "privacy_audit",
    "privacy_audit.batch_size": "privacy_audit",
    "exposure.candidates": "exposure",
    "exposure.batch_size": "exposure",
    "plants.functions": "recital",
    "plants.owners": "recital",
    "plants.together": "recital",
    "recital.batch_size": "recital",
    "baselines.order": "baselines",
    "membership.k": "membership",
    "membership.batch_size": "membership",
    "membership.chunk_tokens": "membership blind",
    "membership.at_most": "membership blind",
    "tokenizer.corpus": "tokenizer",
    "tokenizer.vocab_size": "tokenizer",
    "tokenizer.sample": "tokenizer",
    "texts": "tokenizer",
    "references": "match prompts clones held_out_copies emissions renamed renamed_chance",
    "model": "aggregate losses training_losses generate extract exposure recital membership solve privacy_audit",
    "stage": "snapshot",
    "epoch": "snapshot",
    "generations": "match study_counts filter_blocks",
    "matches": "emissions renamed",
    "trained_on": "emissions",
    **{f"importance.{name}": "fisher" for name in ("organization", "model", "sequences")},
    **{f"pass_at_k.{name}": "solve" for name in (
        "samples", "new_tokens", "temperature", "top_p", "repetition_penalty", "stop", "precision", "batch_size",
        "clean_up_spaces",
    )},
    "pass_at_k.timeout_s": "execute",
    "pass_at_k.memory": "execute",
    "pass_at_k.min_lines": "licences",
    "problems.0.name": "solve execute",
    "problems.0.prompt": "solve",
    "problems.0.test": "execute",
    "problems.0.entry_point": "execute",
    "problems.0.plus": "execute",
    "solutions": "execute lint licences",
}  # fmt: skip
"""Which kinds of work a field decides by itself; what follows from another key is not repeated."""

_NAMED = "the mapping names the organization"
_COUNTED = "follows from the corpus and the tokenizer; what is trained on reaches an aggregation with its result"
DECIDES_NOTHING: dict[str, str] = {
    "context.trainer.epochs": "the instruction says how many; see the plan",
    "context.bf16": "generation is in fp32; what it does to bf16 has a test of its own",
    "context.trainer.client_state": "the instruction says what goes on; see the plan",
    "context.trainer.gpus": "who shares a GPU, not what is computed there",
    **{
        f"{name}.when": "which models are asked, not what they answer"
        for name in ("perplexity", "memorization", "exposure", "recital", "membership", "pass_at_k", "privacy_audit")
    },
    "memorization.prompts.neutral": "prompts of no organization; test_neutral.py has their keys",
    "memorization.uploads": "which uploads are asked, not what they answer",
    "pass_at_k.problems": "their content decides",
    "problems.0.canonical": "no model is shown it",
    "pass_at_k.k": "pass@k follows from how many passed",
    "canaries.organizations": "who has canaries, not which",
    "plants.organizations": "who has functions, not which",
    "sequence_canaries.organizations": "who has sequence canaries, not which",
    "privacy_audit.guesses": "of what follows from losses, which is no keyed work",
    "privacy_audit.delta": "of what follows from losses, which is no keyed work",
    "plants.variant": "what copies are like; in the fingerprint of the corpus",
    "context.public": "weights are named by the stage that made them; see test_pretraining.py",
    "context.spec.settings.pretrain": "what a base is trained on and how is in the recipe of its stage",
    **{f"results.0.instruction.{name}": "in the key of the result" for name in (
        "model", "epochs", "horizon_epochs", "client_state", "keep_state", "fraction", "objective",
        "dropout_epochs", "pooled_packing", "objective_state", "epoch_steps", "upload", "upload_state",
        "importances", "replay",
    )},
    "results.0.weights": "named by the key of the result",
    "results.0.metrics": "of the training that the key of the result names",
    "context.client_stats.b.valid_fingerprint": "it is not asked",
    "context.client_stats.b.languages": "it is not asked",
    **{f"context.client_stats.{name}.organization": _NAMED for name in "ab"},
    **{f"context.client_stats.{name}.splits": _COUNTED for name in "ab"},
    "context.client_stats.b.test_fingerprint": "it is not asked",
    **{f"context.client_stats.{name}.drops": "what is not there" for name in "ab"},
    **{f"context.client_stats.{name}.licences": "in the fingerprint" for name in "ab"},
    **{f"context.client_stats.{name}.redactions": "what is taken out is in the fingerprint" for name in "ab"},
    **{f"context.client_stats.{name}.obfuscations": "what is changed is in the fingerprint" for name in "ab"},
    **{f"context.client_stats.{name}.duplicate_lines": "follows from the corpus" for name in "ab"},
    **{f"context.client_stats.{name}.line_spectrum": "follows from the corpus" for name in "ab"},
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


MU = st.floats(0, 10)
# Where a type does not say enough of what is allowed.
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "fraction": st.floats(0, 1, exclude_min=True),
    "objective": st.one_of(st.none(), st.builds(ObjectiveConfig, st.just("pull"), st.fixed_dictionaries({"mu": MU}))),
    "upload": st.one_of(st.none(), st.builds(TopK, share=st.floats(0.01, 1)), st.builds(Int8)),
    "importances": st.lists(
        st.builds(Importance, st.sampled_from("ab"), st.sampled_from("mn"), st.integers(1, 9)), max_size=2
    ).map(tuple),
    "replay": st.one_of(
        st.none(), st.builds(Replay, st.sampled_from([("b",), ("b", "a")]), st.floats(0, 1, exclude_min=True))
    ),
    "importance.organization": st.sampled_from("ab"),
    "context.trainer.backend": st.sampled_from(["torch", "deepspeed"]),
    "context.trainer.app": st.sampled_from(["flower_apps:app", "flower_apps:same"]),
    "config": st.fixed_dictionaries(
        {"model_type": st.sampled_from(["gpt2", "llama"]), "n_layer": st.integers(1), "resid_pdrop": st.floats(0, 1)}
    ),
    "plants.functions": st.dictionaries(st.integers(0, 9), st.integers(1, 9), min_size=1),
    "plants.together": st.dictionaries(st.integers(1, 9), st.integers(1, 9)),
    "context.public": st.sampled_from([None, BASE.context]),
    "pretrain": st.builds(PretrainSettings, epochs=st.integers(1, 9)),
    "pass_at_k.k": st.sampled_from([(1,), (1, 2), (5, 1)]),
    "pass_at_k.memory": st.integers(1, 1 << 40),  # far above it there is no difference: a solution has no more
    "pass_at_k.precision": st.sampled_from(["fp32", "bf16"]),
    "memorization.precision": st.sampled_from(["fp32", "bf16"]),  # none is the trainer's
    "memorization.output_filter": st.one_of(
        st.none(), st.builds(OutputFilterSettings, lines=st.integers(1, 9), window_in_prompt=st.booleans())
    ),
    "goldfish": st.builds(GoldfishSettings, k=st.integers(2, 9), context=st.integers(1, 9)),
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
    "context.trainer.batch_size": st.integers(1, 1 << 20),
    **{f"context.trainer.{name}": st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]) for name in ("accumulation", "ranks")},
    "context.trainer.deepspeed": st.fixed_dictionaries(
        {"zero_optimization": st.fixed_dictionaries({"stage": st.integers(0, 3), "overlap_comm": st.booleans()})},
        optional={"prescale_gradients": st.booleans()},
    ),
    "languages": st.sampled_from([("go",), ("java", "python"), ("c", "javascript", "rust")]),
    "canaries.format": st.sampled_from(["{secret}", "key = {secret}", "x = '{secret}'"]),
    "canaries.alphabet": st.sampled_from(["0123456789", "abcdefghij", "0123456789abcdef"]),
    "trained_on": st.sampled_from([(), ("a",), ("b",), ("a", "b")]),
    "drops": st.lists(st.fixed_dictionaries({"reason": st.text(), "files": st.integers(0)})).map(tuple),
    "obfuscations": st.lists(st.fixed_dictionaries({"outcome": st.text(), "files": st.integers(0)})).map(tuple),
    "redactions": st.lists(st.fixed_dictionaries({"kind": st.text(), "files": st.integers(0)})).map(tuple),
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


OF_FLOWER = TrainerSettings(sequence_length=64, backend="flower", app="flower_apps:app")
# A base on which a field means something, where that is not the usual one.
GIVEN: dict[str, tuple[str, Any]] = {
    **{
        f"context.spec.settings.{name}": ("context.spec.settings", ModelSettings(pretrained="someone/model"))
        for name in ("pretrained", "revision", "lora")
    },
    "context.trainer.deepspeed": ("context.trainer", TrainerSettings(sequence_length=64, backend="deepspeed")),
    "memorization.held_out_prompts": ("memorization.stop", ()),
    **{f"context.trainer.{name}": ("context.trainer", OF_FLOWER) for name in ("app", "app_config")},
    **{
        f"context.trainer.{name}": ("context.trainer", TrainerSettings(sequence_length=64, batch_size=24))
        for name in ("accumulation", "ranks")
    },
}


def test_every_field_has_been_decided_on() -> None:
    assert set(leaves(BASE)) == {*DECIDES, *DECIDES_NOTHING}
    assert not DECIDES.keys() & DECIDES_NOTHING
    assert {kind for kinds in DECIDES.values() for kind in kinds.split()} == KINDS


@pytest.mark.parametrize("path", [*DECIDES, *DECIDES_NOTHING])
@settings(max_examples=scaled(8), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
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
