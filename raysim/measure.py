"""Measures the models of a run: scoring at the organizations, probing and matching as pipeline steps, all of it keyed."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from raysim.assembly import Assembly
from raysim.corpus.corpus import fingerprint
from raysim.effectiveness.losses import file_losses, losses_recipe
from raysim.effectiveness.parsing import parses
from raysim.experiment import LoadedExperiment
from raysim.memorization.clones import clone_rows
from raysim.memorization.lineindex import LineIndex, build_index
from raysim.memorization.matching import count_copies, prompt_context, truth_windows
from raysim.memorization.pipeline import map_tables
from raysim.memorization.prompts import extract_prompts, mark_eligible
from raysim.memorization.settings import MemorizationSettings
from raysim.memorization.steps import GenerateStep, MatchStep, work_list
from raysim.recipe import Key, key_of
from raysim.simulation.ledger import SERVER, Crossing
from raysim.simulation.planner import Plan
from raysim.simulation.runner import ReachedModel
from raysim.simulation.stagelog import Kind, StageRecord
from raysim.simulation.store import Entry, Store
from raysim.simulation.strategy import Milestone
from raysim.simulation.workshop import Done, Product, Workshop, table_bytes
from raysim.simulation.world import World
from raysim.training.organization import ModelSpec, Organization
from raysim.training.weights import Flat

_WEIGHTS_BYTES = 1 << 30
"""Weights that one job of the pipeline holds in memory at once."""

_TABLES = ("losses", "prompts", "generations", "samples", "matches", "clones")

Probe = tuple[Key, str]
"""A model, and the organization whose prompts it is asked."""


def wanted(milestone: Milestone, settings: MemorizationSettings) -> bool:
    """Whether a model is probed: final ones always, the initial one if any on the way are."""
    if milestone.final:
        return True
    if milestone.moment == "initial":
        return settings.when != ("final",)
    return f"every_{milestone.moment}" in settings.when


class Measurer:
    """Measures what a run reaches.

    Args:
        loaded: the experiment.
        assembly: its parties.
        workshop: does keyed work.
        workers: of the pipeline.
        secret_file: holds the key of line hashes; made if it is not there.
    """

    def __init__(
        self, loaded: LoadedExperiment, assembly: Assembly, workshop: Workshop, workers: int, secret_file: Path
    ) -> None:
        self._loaded = loaded
        self._assembly = assembly
        self._shop = workshop
        self._workers = workers
        self._secret = _read_secret(secret_file)
        self._settings = loaded.experiment.measure.memorization
        self._scored: set[Key] = set()
        self.tables: dict[str, list[pa.Table]] = {name: [] for name in _TABLES}

    @property
    def wants_epochs(self) -> bool:
        """Whether models after every epoch are wanted."""
        return self._settings is not None and "every_epoch" in self._settings.when

    async def score(self, model: ReachedModel) -> None:
        """Losses of `model` on every organization's validation split, once for each model."""
        key, world, settings = model.milestone.model, model.instance.world, self._loaded.experiment.measure.perplexity
        if settings is None or key in self._scored:
            return
        self._scored.add(key)

        async def at(name: str) -> None:
            entry = await self._shop.visit(
                scoring_recipe(world, key, name, settings.batch_size),
                name,
                f"{model.name} on {name}",
                score_at,
                world.spec,
                world.trainer.sequence_length,
                settings.batch_size,
                world.trainer.threads,
                tokens=world.inventories[name].splits["valid"]["tokens"],
            )
            self.tables["losses"].append(_with(entry.table("losses"), model=key, organization=name))

        await asyncio.gather(*(at(name) for name in world.inventories))

    async def probe(self, reached: Iterable[ReachedModel]) -> None:
        """Prompts all wanted models, attributes what they answer, and compares the corpora."""
        settings = self._settings
        assert settings is not None, "the experiment asks for it"
        models: dict[Key, ReachedModel] = {}
        for model in reached:
            if wanted(model.milestone, settings):
                models.setdefault(model.milestone.model, model)
        told = await self._visit_all(tell_prompts, settings, self._loaded.experiment.split_seed, self._secret)
        probes = [(key, name) for key in models for name in told]
        generations = await self._generate(probes, models, told)
        samples = await self._match(probes, models, told, generations)
        await self._compare(told)
        for probe in probes:
            key, _ = probe
            generated = _with(generations[probe].table("generations"), model=key)
            lines = samples[probe].table("lines")
            self.tables["generations"].append(generated.append_column("lines", lines["lines"]))
            self.tables["samples"].append(_with(samples[probe].table("samples"), model=key))
            self.tables["matches"].append(_with(samples[probe].table("matches"), model=key))
