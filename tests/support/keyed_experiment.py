"""The keys of all work of a whole experiment: it is read, its corpora prepared, its strategies planned."""

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

from raysim.core.keys import Key, key_of
from raysim.corpus.corpus import fingerprint
from raysim.experiment.config import LoadedExperiment, load_experiment
from raysim.experiment.plan import inline_pool
from raysim.experiment.setup import Setup, eval_context, set_up
from raysim.measures.memorization.recipes import (
    clones_recipe,
    copies_recipe,
    emissions_recipe,
    generation_recipe,
    held_out_copies_recipe,
    match_recipe,
    prompts_recipe,
    renamed_chance_recipe,
    renamed_recipe,
    study_recipe,
)
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.pass_at_k.linting import linting_recipe
from raysim.measures.pass_at_k.problems import fingerprint_of_prompts, fingerprint_of_tests, load_problems
from raysim.measures.pass_at_k.recipes import execution_recipe, licences_recipe, solution_recipe
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.measures.when import wanted
from raysim.simulation.planner import Plan, plan
from raysim.store.store import Store

Keys = dict[str, frozenset[Key]]

SHARED = {"share": "data"}
RAW: dict[str, Any] = {
    "name": "keys",
    "seed": [1],
    "split_seed": 12,
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
            "renamed": {"min_tokens": 6},
        },
        "membership": {"chunk_tokens": 16},
        "pass_at_k": {"problems": "problems.jsonl", "samples": 3, "k": [1, 2]},
    },
    "plants": {"functions": {0: 1, 2: 1}},
    "canaries": {"count": 1, "repeats": [0, 2], "length": 4},
}


def assembled(base: Path, raw: dict[str, Any]) -> tuple[LoadedExperiment, Setup, Plan]:
    path = base / "experiment.yaml"
    path.write_text(json.dumps(raw), encoding="utf-8")  # JSON is YAML
    loaded = load_experiment(path, [])
    setup = asyncio.run(set_up(loaded, inline_pool(), Store(base / "store")))
    return loaded, setup, asyncio.run(plan(setup.strategy_runs))


def keys_of(base: Path, raw: dict[str, Any]) -> Keys:
    """Keys of all work of an experiment by kind; a tokenizer is named by its content."""
    loaded, setup, planned = assembled(base, raw)
    experiment, references = loaded.experiment, fingerprint(setup.references)
    evaluation = eval_context(loaded, setup)
    found: dict[str, set[Key]] = {
        "tokenizer": {setup.tokenizer.fingerprint},
        "initial": {strategy_run.context.initial_key() for strategy_run in setup.strategy_runs},
        "train": set(planned.unique_stages()),
        "aggregate": set(planned.aggregations),
        **{
            kind: set()
            for kind in (
                "losses",
                "training_losses",
                "generate",
                "extract",
                "match",
                "prompts",
                "clones",
                "held_out_copies",
                "copies",
                "emissions",
                "study_counts",
                "exposure",
                "recital",
                "baselines",
                "membership",
                "blind",
                "solve",
                "execute",
                "lint",
                "licences",
                "privacy_audit",
                "renamed",
                "renamed_chance",
            )
        },
    }
    for model in planned.models:
        key, context = model.checkpoint.model, model.strategy_run.context
        for name in context.client_stats:
            if settings := experiment.measure_settings(MemorizationSettings):
                found["prompts"].add(key_of(prompts_recipe(context, name, settings, references)))
                found["clones"].add(key_of(clones_recipe(context, name, settings, references)))
                held_out = held_out_copies_recipe(context, name, settings, references)
                found["held_out_copies"].add(key_of(held_out))
                found["copies"].add(key_of(copies_recipe(context, name, settings)))
                if settings.renamed:
                    found["renamed_chance"].add(key_of(renamed_chance_recipe(context, name, settings, references)))
                if wanted(model.checkpoint, settings):
                    generated = key_of(generation_recipe(context, key, name, settings))
                    found["generate"].add(generated)
                    matches = key_of(match_recipe(context, generated, settings, references))
                    found["match"].add(matches)
                    if settings.renamed:
                        found["renamed"].add(key_of(renamed_recipe(context, matches, settings, references)))
                    found["study_counts"].add(key_of(study_recipe(context, {name: generated}, settings)))
                    emitted = emissions_recipe(context, {name: matches}, (), settings, references)
                    found["emissions"].add(key_of(emitted))
        settings = experiment.measure_settings(PassAtKSettings)
        if settings and wanted(model.checkpoint, settings):
            problems = load_problems(settings.problems, base)
            solved = key_of(solution_recipe(context, key, fingerprint_of_prompts(problems), settings))
            found["solve"].add(solved)
            found["execute"].add(key_of(execution_recipe(solved, fingerprint_of_tests(problems), settings)))
            found["lint"].add(key_of(linting_recipe(solved)))
            found["licences"] |= {key_of(licences_recipe(context, n, solved, settings)) for n in context.client_stats}
        for one in loaded.measures:
            if one.wants(model.checkpoint):
                for task in one.tasks(evaluation.at(context), model.checkpoint):
                    found[task.recipe["kind"]].add(task.key)
    for model in (*planned.models, *planned.uploads):
        for one in loaded.measures:
            if one.wants(model.checkpoint):
                for read in one.generations(evaluation.at(model.strategy_run.context), model.checkpoint):
                    found[read.recipe["kind"]].add(key_of(read.recipe))
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
