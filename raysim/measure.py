"""Measures the models of a run: scoring at the organizations, and probing where an experiment asks for it."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from raysim.arrow import with_columns
from raysim.assembly import Assembly
from raysim.effectiveness.losses import file_losses, losses_recipe
from raysim.experiment import LoadedExperiment
from raysim.probing import Probing, generation_recipe, wanted
from raysim.recipe import Key, key_of
from raysim.simulation.planner import Plan
from raysim.simulation.runner import ReachedModel
from raysim.simulation.store import Store
from raysim.simulation.workshop import Product, Workshop
from raysim.simulation.world import World
from raysim.training.organization import ModelSpec, Organization
from raysim.training.weights import Flat

_TABLES = ("losses", "prompts", "generations", "samples", "matches", "clones")


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
            self.tables["losses"].append(with_columns(entry.table("losses"), model=key, organization=name))

        await asyncio.gather(*(at(name) for name in world.inventories))

    async def probe(self, reached: Iterable[ReachedModel]) -> None:
        """Prompts all wanted models, attributes what they answer, and compares the corpora."""
        settings = self._settings
        assert settings is not None, "the experiment asks for it"
        models: dict[Key, ReachedModel] = {}
        for model in reached:
            if wanted(model.milestone, settings):
                models.setdefault(model.milestone.model, model)
        probing = Probing(self._loaded, self._assembly, self._shop, settings, self._workers, self._secret)
        for name, parts in (await probing.run(models)).items():
            self.tables[name] += parts


def _read_secret(path: Path) -> bytes:
    """The key of a run's line hashes, made at the run's first start."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        secret = secrets.token_bytes(32)
        path.touch(mode=0o600)
        path.write_bytes(secret)
        return secret


def score_at(
    organization: Organization, weights: Flat, spec: ModelSpec, sequence_length: int, batch_size: int, threads: int
) -> Product:
    """A visitor that scores an organization's validation split."""
    return Product(tables={"losses": file_losses(organization, weights, spec, sequence_length, batch_size, threads)})


def scoring_recipe(world: World, model: Key, organization: str, batch_size: int) -> dict[str, Any]:
    """Recipe of the losses of `model` on one organization's validation split."""
    return losses_recipe(
        model,
        world.inventories[organization].valid_fingerprint,
        world.model_recipe,
        world.tokenizer,
        world.trainer.sequence_length,
        batch_size,
        world.libraries,
    )


def pending_work(loaded: LoadedExperiment, assembly: Assembly, plan: Plan, store: Store) -> dict[str, dict[Key, int]]:
    """For each kind of work the pieces that the store does not have yet: their keys, and the tokens each takes."""
    experiment = loaded.experiment
    pending: dict[str, dict[Key, int]] = {
        "train": {key: stage.num_tokens for key, stage in plan.unique_stages().items() if not store.has(key)},
        "losses": {},
        "generate": {},
    }
    scored, probed = set(), set()
    settings = experiment.measure.memorization
    for model in plan.models:
        key, world = model.milestone.model, model.instance.world
        for name, inventory in assembly.inventories.items():
            if experiment.measure.perplexity and (key, name) not in scored:
                scored.add((key, name))
                work = key_of(scoring_recipe(world, key, name, experiment.measure.perplexity.batch_size))
                if not store.has(work):
                    pending["losses"][work] = inventory.splits["valid"]["tokens"]
            if settings and wanted(model.milestone, settings) and (key, name) not in probed:
                probed.add((key, name))
                work = key_of(generation_recipe(world, key, name, settings))
                if not store.has(work):
                    tokens = sum(count for _, count in settings.prompts) * settings.samples * settings.new_tokens
                    pending["generate"][work] = tokens
    return pending


def token_counts(work: Mapping[str, Mapping[Key, int]]) -> dict[str, int]:
    """Tokens of each kind of `work`, as `pending_work` tells it."""
    return {kind: sum(pieces.values()) for kind, pieces in work.items()}
