"""The keys of all work of a whole experiment: it is read, its corpora prepared, its strategies planned."""

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

from raysim.core.keys import Key, key_of
from raysim.corpus.corpus import fingerprint
from raysim.experiment.config import LoadedExperiment, load_experiment
from raysim.experiment.plan import crew_of_one
from raysim.experiment.setup import Assembly, assemble
from raysim.measures.client_tasks import visits
from raysim.measures.memorization.measure import wanted
from raysim.measures.pass_at_k.linting import linting_recipe
from raysim.measures.pass_at_k.problems import fingerprint_of_prompts, fingerprint_of_tests, load_problems
from raysim.measures.recipes import (
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
from raysim.simulation.planner import Plan, plan
from raysim.store.store import Store

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
