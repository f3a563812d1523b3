"""Every field of an experiment changes the keys of its work, or is known to decide no number.

Where tests/test_keys.py looks at one recipe at a time, here a whole experiment is read, its corpora prepared and its
strategies planned: settings that act before any recipe (sources, preparation, tokenizer, strategies) show in the keys.
"""

import asyncio
import copy
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import typing
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from raysim.assembly import Assembly, assemble
from raysim.config import Settings, validate
from raysim.corpus.corpus import fingerprint
from raysim.corpus.tokens import train_tokenizer
from raysim.effectiveness.linting import linting_recipe
from raysim.effectiveness.problems import fingerprint_of_prompts, fingerprint_of_tests, load_problems
from raysim.errors import InputError
from raysim.experiment import Experiment, LoadedExperiment, load_experiment
from raysim.measuring.probing import wanted
from raysim.measuring.recipes import (
    clones_recipe,
    copies_recipe,
    emissions_recipe,
    execution_recipe,
    generation_recipe,
    licences_recipe,
    match_recipe,
    prompts_recipe,
    solution_recipe,
)
from raysim.measuring.visits import visits
from raysim.outlook import crew_of_one
from raysim.recipe import Key, key_of
from raysim.simulation.loop import Instance
from raysim.simulation.planner import Plan, plan
from raysim.simulation.registry import GROUP, variants
from raysim.simulation.store import Store
from raysim.simulation.world import World

Keys = dict[str, frozenset[Key]]

SHARED = {"share": "data"}
RAW: dict[str, Any] = {
    "name": "keys",
    "seed": [1],
    "organizations": {
        "a": {"source": {"files": ["a.jsonl"]}, "agreement": SHARED},
        "b": {"source": {"path": "b"}, "agreement": SHARED},
    },
    "references": [{"path": "c"}],
    "preparation": {"min_characters_per_token": 0.9},
    "tokenizer": {"train": {"vocab_size": 300}},
    "model": {"config": {"model_type": "gpt2", "n_layer": 1}, "dropout": 0.1},
    "trainer": {"epochs": 4, "sequence_length": 64},
    "strategies": ["single", "centralized", {"fedavg": {"rounds": 2}}],
    "measure": {
        "memorization": {
            "prompts": {"function": 3, "prefix": 2},
            "prefix_tokens": 8,
            "new_tokens": 16,
            "extraction": {"passages": 3, "prefix_tokens": [8, 16], "suffix_tokens": 24},
        },
        "membership": {"chunk_tokens": 16},
        "pass_at_k": {"problems": "problems.jsonl", "samples": 3, "k": [1, 2]},
    },
    "canaries": {"count": 1, "repeats": [0, 2], "length": 4},
}


def records() -> list[dict[str, str]]:
    """Files that each step of the preparation has an opinion on; of seven repositories."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    real = [(stdlib / name).read_text(encoding="utf-8") for name in ("bisect.py", "sched.py", "fnmatch.py", "stat.py")]
    assignments = "".join(f"name_{i} = value_{i}\n" for i in range(8))
    loop = f"for value in things:\n    pass\n{assignments}"
    texts = {
        **{f"real{i}": text for i, text in enumerate(real)},
        "copy": real[0].replace("\n", "\n\n"),
        "generated": f"# automatically generated\n{loop}",
        "long_line": f"{loop}wide = '{'x' * 1500}'\n" + "pass\n" * 20,
        "long_lines": "".join(f"while True: wide{i} = '{'y' * 110}'\n" for i in range(6)),
        "few_letters": loop + "#" + "-+*/" * 100,
        "many_tokens": loop + "# " + "漢字" * 100,
        "few_assignments": "def f():\n    return 1\n",
        **{f"test{i}": f"# unit tests {i}\n{loop}" for i in range(6)},
        **{f"plain{i}": f"other{i} = 1\n{assignments}" for i in range(6)},
    }
    return as_records(texts)


def near_copies() -> list[dict[str, str]]:
    """Pairs of 60 words, some of which are others; those that share about half are found by some sketches only."""
    texts = {}
    for number, others in enumerate([4, 5, 6, *[19, 20] * 8]):
        words = [f"word{number}x{i}" for i in range(60)]
        for name, some in (("one", words), ("two", [*words[others:], *(f"new{number}x{i}" for i in range(others))])):
            texts[f"near{number}{name}"] = "for x in y: z = 1\n" + "".join(f"{word} = 1\n" for word in some)
    return as_records(texts)


def as_records(texts: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"path": f"{name}.py", "repo_name": f"repo{i % 7}", "content": text, "code": f"{text}\nx = 2\n"}
        for i, (name, text) in enumerate(texts.items())
    ]


def write_records(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, corpus_folders: dict[str, Path]) -> Path:
    """Sources of every kind."""
    base = tmp_path_factory.mktemp("keys")
    shutil.copytree(corpus_folders["beta"], base / "b")
    shutil.copytree(corpus_folders["gamma"], base / "c")
    rows = records()
    write_records(base / "a.jsonl", rows)
    for name, test in (("problems", "assert f()"), ("other_tests", "assert f() == 1")):
        row = {"task_id": "P/0", "prompt": "def f():\n", "entry_point": "f", "test": test}
        write_records(base / f"{name}.jsonl", [row])
    write_records(base / "near.jsonl", near_copies())
    write_records(base / "more.jsonl", [{**row, "path": f"more/{row['path']}", "content": row["code"]} for row in rows])
    for name in ("one", "two"):
        (base / name).mkdir()
        kept = rows if name == "one" else rows[:-4]
        write_records(base / name / "train.jsonl", kept)
        write_records(base / name / "test.jsonl", kept[1:])
        write_records(base / name / "small.jsonl", kept[2:])
        configs = (
            "- {config_name: all, default: true, data_files: [{split: train, path: train.jsonl},"
            " {split: test, path: test.jsonl}]}\n"
            "- {config_name: small, data_files: [{split: train, path: small.jsonl}]}\n"
        )
        (base / name / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    for name, letter in (("checkpoint", b"1"), ("other_checkpoint", b"2")):
        (base / name).mkdir()
        (base / name / "config.json").write_text("{}")
        (base / name / "model.safetensors").write_bytes(letter)
    for name, size in (("one", 300), ("two", 310)):
        texts = [row["content"] for row in rows]
        (base / f"{name}.json").write_text(train_tokenizer(texts, size).json, encoding="utf-8")
    return base


@pytest.fixture(autouse=True)
def few_data(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard library of a few files, and no cache of datasets outside this test."""
    from datasets import config

    monkeypatch.setattr("raysim.corpus.sources.sysconfig.get_path", lambda name: str(folder / "b"))
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")


def assembled(base: Path, raw: dict[str, Any]) -> tuple[LoadedExperiment, Assembly, Plan]:
    path = base / "experiment.yaml"
    path.write_text(json.dumps(raw), encoding="utf-8")  # JSON is YAML
    loaded = load_experiment(path, [])
    assembly = asyncio.run(assemble(loaded, crew_of_one(), Store(base / "store")))
    return loaded, assembly, asyncio.run(plan(assembly.instances))


def keys_of(base: Path, raw: dict[str, Any]) -> Keys:
    """Keys of all work of an experiment by kind; a tokenizer is named by its content."""
    loaded, assembly, planned = assembled(base, raw)
    measure, references = loaded.experiment.measure, fingerprint(assembly.references)
    found: dict[str, set[Key]] = {
        "tokenizer": {assembly.tokenizer.fingerprint},
        "initial": {instance.world.initial_key() for instance in assembly.instances},
        "train": set(planned.unique_stages()),
        "aggregate": set(planned.aggregations),
        **{
            kind: set()
            for kind in (
                "losses",
                "generate",
                "extract",
                "match",
                "prompts",
                "clones",
                "copies",
                "emissions",
                "exposure",
                "membership",
                "blind",
                "solve",
                "execute",
                "lint",
                "licences",
            )
        },
    }
    for model in planned.models:
        key, world = model.milestone.model, model.instance.world
        for name in world.inventories:
            if settings := measure.memorization:
                found["prompts"].add(key_of(prompts_recipe(world, name, settings, references)))
                found["clones"].add(key_of(clones_recipe(world, name, settings, references)))
                found["copies"].add(key_of(copies_recipe(world, name, settings)))
                if wanted(model.milestone, settings):
                    generated = key_of(generation_recipe(world, key, name, settings))
                    found["generate"].add(generated)
                    matches = key_of(match_recipe(world, generated, settings, references))
                    found["match"].add(matches)
                    emitted = emissions_recipe(world, {name: matches}, (), settings, references)
                    found["emissions"].add(key_of(emitted))
        settings = measure.pass_at_k
        if settings and wanted(model.milestone, settings):
            problems = load_problems(settings.problems, base)
            solved = key_of(solution_recipe(world, key, fingerprint_of_prompts(problems), settings))
            found["solve"].add(solved)
            found["execute"].add(key_of(execution_recipe(solved, fingerprint_of_tests(problems), settings)))
            found["lint"].add(key_of(linting_recipe(solved)))
            found["licences"] |= {key_of(licences_recipe(world, n, solved, settings)) for n in world.inventories}
        for visit in visits(loaded.experiment, assembly.tokenizer, world, model.milestone):
            found[visit.recipe["kind"]].add(visit.key)
    return {kind: frozenset(keys) for kind, keys in found.items()}


def changed(one: Keys, other: Keys) -> set[str]:
    return {kind for kind in one if one[kind] != other[kind]}


@pytest.fixture(scope="module")
def base_keys(folder: Path) -> Keys:
    keys = keys_of(folder, RAW)
    assert all(keys.values())
    return keys


# Fields, found by introspection.


def settings_in(annotation: Any) -> list[type[Settings]]:
    """The settings classes that a type names."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for argument in typing.get_args(annotation) for found in settings_in(argument)]


def fields(owner: type[Settings], prefix: str = "") -> Iterator[tuple[str, type[Settings]]]:
    """The path of every field below `owner` that is no settings itself, and whose field it is."""
    for name, field in owner.model_fields.items():
        if inner := settings_in(field.annotation):
            key = {dict: "a.", list: "0."}.get(typing.get_origin(field.annotation), "")  # one stands for all
            yield from fields(inner[0], f"{prefix}{name}.{key}")
        else:
            yield f"{prefix}{name}", owner


def others(owner: type[Settings], name: str, value: Any) -> list[Any]:
    """Other values of a field, by its type and its present value: those that change little come first."""
    annotation = owner.model_fields[name].annotation
    literals = [c for a in (annotation, *typing.get_args(annotation)) if typing.get_origin(a) is typing.Literal
                for c in typing.get_args(a)]  # fmt: skip
    if literals:
        return [choice for choice in literals if choice != value]
    if value is None:
        usual: dict[type, Any] = {int: 10, float: 0.5, str: "x"}
        inner = [a if isinstance(a, type) else typing.get_args(a)[0] for a in typing.get_args(annotation)]
        return [found for a in inner if a in usual for found in (usual[a], *others_of(usual[a]))]
    return others_of(value)


def others_of(value: Any) -> list[Any]:
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value * 2, value * 1000, value // 2, 1, 0]
        case float():
            return [value / 2, value * 2, (value + 1) / 2, 0.0]
        case str():
            return [f"{value}x"]
        case list() | tuple():
            return [[*value[:-1], other] for other in others_of(value[-1])]
        case dict():
            return [{**value, name: other} for name in value for other in others_of(value[name])]
    raise TypeError(f"what would be another {value!r}?")


Patch = dict[str, Any]
"""Values by path."""


def with_patch(raw: dict[str, Any], patch: Patch) -> dict[str, Any]:
    result = copy.deepcopy(raw)
    for path, value in patch.items():
        *parents, leaf = path.split(".")
        node: Any = result
        for name in parents:
            node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
        node[leaf if isinstance(node, dict) else int(leaf)] = value
    return result


def present(raw: dict[str, Any], path: str) -> Any:
    """The value of a field, default or not."""
    value: Any = Experiment.model_validate(raw)
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


HUB = {"name": "one", "split": "train"}
SOURCES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "packages": ({"packages": ["pluggy"]}, {"packages": ["pluggy", "iniconfig"]}),
    "path": ({"path": "b"}, {"path": "c"}),
    "files": ({"files": ["a.jsonl"]}, {"files": ["a.jsonl", "more.jsonl"]}),
    "hub.name": ({"hub": HUB}, {"hub": HUB | {"name": "two"}}),
    "hub.split": ({"hub": HUB}, {"hub": HUB | {"split": "test"}}),
    "hub.config": ({"hub": HUB}, {"hub": HUB | {"config": "small"}}),
    "hub.column": ({"hub": HUB}, {"hub": HUB | {"column": "code"}}),
    "stdlib": ({"path": "c"}, {"stdlib": True}),
    "column": ({"files": ["a.jsonl"]}, {"files": ["a.jsonl"], "column": "code"}),
    "include": ({"path": "b"}, {"path": "b", "include": ["[a-n]*.py"]}),
    "exclude": ({"path": "b"}, {"path": "b", "exclude": ["secrets.py"]}),
}
"""Two sources that differ in one field."""

NEAR_COPIES = {"organizations.a.source": {"files": ["near.jsonl"]}}
MUTATIONS: dict[str, tuple[Patch, list[Patch]]] = {
    **{
        f"{at}.{name}": ({at: one}, [{at: other}])
        for at in ("organizations.a.source", "references.0")
        for name, (one, other) in SOURCES.items()
    },
    **{
        f"preparation.near_dedup_{name}": (
            {**NEAR_COPIES, "preparation.near_dedup": True, "preparation.near_dedup_jaccard": 0.5},
            [{f"preparation.near_dedup_{name}": value} for value in values],
        )
        for name, values in {"jaccard": [0.9], "min_words": [1000], "permutations": [16, 32, 64]}.items()
    },
    "preparation.near_dedup": (NEAR_COPIES, [{"preparation.near_dedup": True}]),
    "preparation.split_by": (
        {"organizations.b.source": {"files": ["more.jsonl"]}},
        [{"preparation.split_by": "repository"}],
    ),
    "organizations.a.agreement.licences": ({}, [{"organizations.a.agreement.licences": ["MIT"]}]),
    "deduplication.across": (
        {"organizations.b.source": {"files": ["a.jsonl", "more.jsonl"]}},
        [{"deduplication.across": "first_owner"}],
    ),
    "deduplication.match": (
        {
            "organizations.b.source": {"files": ["more.jsonl", "near.jsonl"]},
            "deduplication.across": "first_owner",
        },
        [{"deduplication.match": "near"}],
    ),
    "organizations.a.limit": ({}, [{"organizations.a.limit": "3 KB"}]),
    "tokenizer.pretrained": (
        {"tokenizer": {"pretrained": "one.json"}},
        [{"tokenizer": {"pretrained": "two.json"}}],
    ),
    "model.pretrained": ({"model": {"pretrained": "checkpoint"}}, [{"model": {"pretrained": "other_checkpoint"}}]),
    **{
        f"model.lora.{name}": (
            {"model": {"pretrained": "checkpoint", "lora": {}}},
            [{f"model.lora.{name}": value}],
        )
        for name, value in {"rank": 9, "alpha": 9, "dropout": 0.1, "targets": ["c_attn"]}.items()
    },
    "measure.memorization.when": ({}, [{"measure.memorization.when": ["final", "every_round"]}]),
    "measure.memorization.precision": ({}, [{"measure.memorization.precision": "bf16"}]),
    "canaries.organizations": ({}, [{"canaries.organizations": ["b"]}]),
    "canaries.repeats": ({}, [{"canaries.repeats": [0, 3]}]),
    "canaries.count": ({}, [{"canaries.count": 2}]),
    "canaries.format": ({}, [{"canaries.format": "token = '{secret}'"}]),
    "canaries.alphabet": ({}, [{"canaries.alphabet": "0123456789"}]),
    "canaries.length": ({}, [{"canaries.length": 5}]),
    "canaries.place": ({}, [{"canaries.place": "lines"}]),
    "measure.exposure.when": ({}, [{"measure.exposure.when": "every_round"}]),
    "measure.membership.when": ({}, [{"measure.membership.when": ["every_round"]}]),
    "measure.membership.chunk_tokens": ({}, [{"measure.membership.chunk_tokens": None}]),
    "measure.pass_at_k.problems": ({}, [{"measure.pass_at_k.problems": "other_tests.jsonl"}]),
    "measure.pass_at_k.when": ({}, [{"measure.pass_at_k.when": "every_round"}]),
    "measure.pass_at_k.precision": ({}, [{"measure.pass_at_k.precision": "bf16"}]),
    "trainer.backend": ({}, [{"trainer.backend": "deepspeed"}]),
    "trainer.deepspeed": (
        {"trainer.backend": "deepspeed"},
        [{"trainer.deepspeed": {"zero_optimization": {"stage": 1}}}],
    ),
    "trainer.accumulation": ({}, [{"trainer.accumulation": 2}]),
    "trainer.ranks": ({}, [{"trainer.ranks": 2}]),
    "strategies": ({}, [{"strategies": ["single"]}]),
    "sweep": ({}, [{"sweep": {"trainer.epochs": [1, 2]}}]),
}
"""What to change where a type does not tell: first what a field needs to mean something, then other values."""

DECIDES_NOTHING = {
    "name": "of the run's folder and the report",
    "organizations.a.agreement.share": "what is allowed, not what comes of it",
    "organizations.a.agreement.licences": "what is allowed, not what comes of it",
    "measure.pass_at_k.k": "pass@k follows from how many passed",
    "trainer.gpus": "who shares a GPU, not what is computed there",
    "execution.backend": "where work is done",
    "execution.slots": "how much at once",
    "execution.replicas": "how much at once",
    "execution.checkpoint_every_s": "training goes on from a checkpoint to the same bits",
    "execution.retries": "a fault costs time and changes nothing",
    "store.keep": "what was let go is made again to the same bits",
    "report.leakage_weight": "of the report, which is no keyed work",
    "sweep": "each of its points is an experiment of its own",
}

PATHS = dict(fields(Experiment))


def mutations(path: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An experiment, and others that differ in one field alone."""
    patch, other = MUTATIONS.get(path, ({}, None))
    raw = with_patch(RAW, patch)
    if other is None:
        name = path.rpartition(".")[2]
        other = [{path: value} for value in others(PATHS[path], name, present(raw, path))]
    return raw, [with_patch(raw, patch) for patch in other]


def allowed(folder: Path, raws: list[dict[str, Any]]) -> Iterator[Keys]:
    for raw in raws:
        try:
            yield keys_of(folder, raw)
        except InputError:
            continue


def test_every_settings_class_is_reached() -> None:
    """Of strategies, their own tests below take care."""

    def below(owner: type[Settings]) -> Iterator[type[Settings]]:
        for found in owner.__subclasses__():
            yield found
            yield from below(found)

    of_strategies = {owner for point in STRATEGIES.values() for owner in point.Settings.__mro__} | ORDERS.keys()
    reached = {*PATHS.values(), *of_strategies}
    reached |= {
        found for owner in PATHS.values() for f in owner.model_fields.values() for found in settings_in(f.annotation)
    }
    assert {found for found in below(Settings) if found.__module__.startswith(("raysim.", "strategies."))} <= reached
    assert {*MUTATIONS, *DECIDES_NOTHING} <= PATHS.keys()


@pytest.mark.parametrize("path", [path for path in PATHS if path not in DECIDES_NOTHING])
def test_a_field_changes_keys(path: str, folder: Path, base_keys: Keys) -> None:
    raw, other = mutations(path)
    before = base_keys if raw == RAW else keys_of(folder, raw)
    found = next((kinds for keys in allowed(folder, other) if (kinds := changed(before, keys))), set())
    assert found
    if path.startswith(("preparation.", "deduplication.", "organizations.", "canaries.")):
        assert found & {"train", "losses"}
        assert not found & {"tokenizer", "initial"}
    if path.startswith(("trainer.", "measure.")):
        assert not found & {"tokenizer", "clones"} or path.endswith("min_lines")


@pytest.mark.parametrize("path", DECIDES_NOTHING)
def test_what_decides_no_number_changes_no_key(path: str, folder: Path, base_keys: Keys) -> None:
    found = list(allowed(folder, mutations(path)[1]))
    assert found
    assert all(keys == base_keys for keys in found)


@pytest.mark.parametrize("library", ["torch", "transformers", "tokenizers", "numpy"])
def test_libraries_are_in_the_keys_of_all_that_they_compute(
    library: str, folder: Path, base_keys: Keys, pretend_update: Callable[[str], None]
) -> None:
    pretend_update(library)
    keys = keys_of(folder, RAW)
    measured = ("losses", "generate", "extract", "match", "exposure", "membership", "solve", "execute")
    for kind in ("initial", "train", "aggregate", *measured):
        assert not keys[kind] & base_keys[kind]
    assert keys["clones"] == base_keys["clones"]


def test_a_longer_continuation_may_need_a_longer_context(folder: Path, base_keys: Keys) -> None:
    """The one way in which measuring reaches back into training: a model with room for prompt and continuation."""
    longer = with_patch(RAW, {"measure.memorization.prompts": {"prefix": 2}, "measure.memorization.new_tokens": 57})
    shorter = with_patch(longer, {"measure.memorization.new_tokens": 56})
    assert keys_of(folder, shorter)["initial"] == base_keys["initial"]
    assert keys_of(folder, longer)["initial"] != base_keys["initial"]


def test_canaries_that_are_never_planted_change_no_key_of_a_model(folder: Path) -> None:
    """Without canaries every key is what it was before there were any; secrets that stand nowhere are only ranked."""
    without = with_patch(RAW, {"canaries": None})
    never = with_patch(RAW, {"canaries": {"count": 1, "repeats": [0], "length": 4}})
    keys = [keys_of(folder, raw) for raw in (without, never)]
    assert not keys[0]["exposure"]
    assert changed(*keys) == {"exposure"}


def test_canaries_of_one_organization_leave_the_work_on_others_as_it_was(folder: Path) -> None:
    """Stages of b alone are shared with the run that has no canaries; the federated ones are not."""
    apart = with_patch(RAW, {"strategies": ["single"], "canaries": None, "measure": {}})
    planted = with_patch(apart, {"canaries": {"organizations": ["a"], "length": 4}})
    before, after = (keys_of(folder, raw) for raw in (apart, planted))
    assert len(before["train"]) == 2
    assert len(before["train"] & after["train"]) == 1


def test_leaving_copies_out_changes_the_work_on_those_that_leave_any_out(folder: Path) -> None:
    """The first owner keeps all, so stages of it alone are shared with the run that keeps all copies."""
    both = {"organizations.b.source": {"files": ["a.jsonl", "more.jsonl"]}, "strategies": ["single"], "measure": {}}
    kept = with_patch(RAW, both | {"canaries": None})
    keys = [keys_of(folder, with_patch(kept, {"deduplication.across": across})) for across in ("keep", "first_owner")]
    assert len(keys[0]["train"]) == 2
    assert len(keys[0]["train"] & keys[1]["train"]) == 1


def test_a_policy_that_finds_no_copies_changes_no_key(folder: Path, base_keys: Keys) -> None:
    for across in ("first_owner", "drop_all"):
        assert keys_of(folder, with_patch(RAW, {"deduplication": {"across": across, "match": "near"}})) == base_keys


# What no key depends on.


def reordered(value: Any) -> Any:
    """Every mapping back to front, but for the organizations."""
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_the_order_of_settings_does_not_count(folder: Path, base_keys: Keys) -> None:
    raw = reordered(RAW)
    raw["organizations"] = dict(reversed(raw["organizations"].items()))
    assert list(raw) != list(RAW)
    assert keys_of(folder, raw) == base_keys


def test_the_order_of_organizations_counts_where_something_is_summed(folder: Path, base_keys: Keys) -> None:
    """Sums run in the order of the experiment, and batches mix pooled sequences by their position."""
    raw = with_patch(RAW, {"organizations": dict(reversed(RAW["organizations"].items()))})
    of_models = {"losses", "generate", "extract", "match", "emissions", "exposure", "membership"}
    of_models |= {"solve", "execute", "lint", "licences"}
    assert changed(keys_of(folder, raw), base_keys) == {"train", "aggregate", *of_models}
    apart = [with_patch(r, {"strategies": ["single", "incremental"]}) for r in (RAW, raw)]
    assert changed(*(keys_of(folder, r) for r in apart)) == set()


def test_a_tokenizer_of_all_does_not_depend_on_who_comes_first(folder: Path) -> None:
    on_all = with_patch(RAW, {"tokenizer.train.on": "organizations", "strategies": ["single"]})
    other = with_patch(on_all, {"organizations": dict(reversed(RAW["organizations"].items()))})
    assert keys_of(folder, on_all) == keys_of(folder, other)


def test_places_do_not_count(folder: Path, base_keys: Keys, tmp_path: Path) -> None:
    """Another folder, another store; the checkpoint is given by an absolute path."""
    shutil.copytree(folder, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("store"))
    assert keys_of(tmp_path / "elsewhere", RAW) == base_keys
    pretrained = [
        with_patch(RAW, {"model": {"pretrained": name}}) for name in ("checkpoint", str(folder / "checkpoint"))
    ]
    assert keys_of(tmp_path / "elsewhere", pretrained[0]) == keys_of(folder, pretrained[1])


def test_another_process_finds_the_same_keys(folder: Path, base_keys: Keys, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other", ignore=shutil.ignore_patterns("store"))
    code = (
        "import runpy, sys, json, pathlib\n"
        "test = runpy.run_path(sys.argv[1])\n"
        "keys = test['keys_of'](pathlib.Path(sys.argv[2]), test['RAW'])\n"
        "print(json.dumps({kind: sorted(found) for kind, found in keys.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, __file__, str(tmp_path / "other")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert json.loads(done.stdout) == {kind: sorted(found) for kind, found in base_keys.items()}


# Strategies: whoever they are, each of their settings changes the plan.

STRATEGIES: dict[str, Any] = {point.name: point.load() for point in entry_points(group=GROUP)}
STRATEGY_MUTATIONS: dict[tuple[str, str], list[Any]] = {
    ("incremental", "orders"): [[["a", "b"]]],
}
ORDERS: dict[type[Settings], dict[str, tuple[Any, Any]]] = {
    STRATEGIES["incremental"].Settings.model_fields["orders"].annotation: {
        "all": ({"all": True}, {"by": "size"}),
        "listed": ({"listed": [["a", "b"]]}, {"listed": [["b", "a"]]}),
        "sample": ({"sample": 1}, {"sample": 2}),
        "seed": ({"sample": 1, "seed": 1}, {"sample": 1, "seed": 5}),
        "design": ({"sample": 4, "seed": 1}, {"sample": 4, "seed": 1, "design": "latin"}),
        "by": ({"by": "size"}, {"by": "duplicates"}),
        "descending": ({"by": "size"}, {"by": "size", "descending": True}),
    }
}
"""For each setting of orders two values that ask for other orders."""
OF_NO_STRATEGY = {"label": "names the setting in tables"}


@pytest.fixture(scope="module")
def world(folder: Path) -> World:
    _, assembly, _ = assembled(folder, RAW)
    return assembly.instances[0].world


def plan_keys(world: World, name: str, settings: dict[str, Any]) -> tuple[frozenset[Key], frozenset[Key]]:
    strategy_class = STRATEGIES[name]
    chosen = validate(strategy_class.Settings, settings, "test")
    strategies = variants(name, strategy_class, chosen, world.federation)
    found = asyncio.run(plan([Instance(name, strategy, world) for strategy in strategies]))
    return frozenset(found.unique_stages()), frozenset(found.aggregations)


STRATEGY_FIELDS = [(name, field) for name, found in STRATEGIES.items() for field in found.Settings.model_fields]


@pytest.mark.parametrize(("name", "field"), STRATEGY_FIELDS)
def test_a_field_of_a_strategy_changes_the_plan(name: str, field: str, world: World) -> None:
    owner = STRATEGIES[name].Settings
    base = {"rounds": 2} if "rounds" in owner.model_fields else {}
    before = plan_keys(world, name, base)
    value = getattr(owner.model_validate(base), field)
    found = []
    for other in STRATEGY_MUTATIONS.get((name, field)) or others(owner, field, value):
        try:
            found.append(plan_keys(world, name, {**base, field: other}))
        except InputError:
            continue
        if found[-1] != before:
            break
    assert found
    assert (found[-1] == before) == (field in OF_NO_STRATEGY)


def test_each_setting_of_orders_changes_the_plan(world: World) -> None:
    """In a world of four organizations: two have too few orders for some of them to matter."""
    twins = {f"{name}2": dataclasses.replace(i, train_fingerprint=f"{name}2") for name, i in world.inventories.items()}
    four = dataclasses.replace(world, inventories={**world.inventories, **twins})
    for owner, cases in ORDERS.items():
        assert cases.keys() == owner.model_fields.keys()
        for name, pair in cases.items():
            one, other = (plan_keys(four, "incremental", {"orders": orders}) for orders in pair)
            assert one != other, name


def test_the_number_of_sequences_is_in_the_key_of_a_sum(world: World) -> None:
    """It weighs a client; stages do not depend on it, as the corpus says it all."""
    a = world.inventories["a"]
    more = dataclasses.replace(a, splits={**a.splits, "train": {**a.splits["train"], "sequences": a.sequences + 1}})
    other = dataclasses.replace(world, inventories={**world.inventories, "a": more})
    one_round = [plan_keys(w, "fedavg", {"rounds": 1}) for w in (world, other)]
    assert one_round[0][0] == one_round[1][0]
    assert not one_round[0][1] & one_round[1][1]
