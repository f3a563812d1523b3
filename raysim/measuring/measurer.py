"""Measures the models of a run: scoring at the organizations, and probing where an experiment asks for it."""

import asyncio
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pyarrow as pa

from raysim.arrow import with_columns
from raysim.assembly import Assembly
from raysim.effectiveness.losses import file_losses
from raysim.experiment import LoadedExperiment
from raysim.measuring.auditing import AUDIT_TABLES, Auditor
from raysim.measuring.extracting import extract
from raysim.measuring.probing import Probing, wanted
from raysim.measuring.recipes import scoring_recipe
from raysim.memorization.settings import MemorizationSettings
from raysim.recipe import Key
from raysim.simulation.runner import ReachedModel
from raysim.simulation.workshop import Product, Workshop
from raysim.training.memory import naming
from raysim.training.organization import ModelSpec, Organization
from raysim.training.weights import Flat

_TABLES = ("losses", "prompts", "generations", "samples", "matches", "clones", "extraction", *AUDIT_TABLES)


class Measurer:
    """Measures what a run reaches.

    Args:
        loaded: the experiment.
        assembly: its parties.
        workshop: does keyed work.
        workers: of the pipeline.
        secret_file: holds the key of line hashes; made if it is not there.
        in_waves: whether training pauses for prompts whenever enough models wait for them; else they all wait for its
            end.
    """

    def __init__(
        self,
        loaded: LoadedExperiment,
        assembly: Assembly,
        workshop: Workshop,
        workers: int,
        secret_file: Path,
        in_waves: bool,
    ) -> None:
        self._loaded = loaded
        self._assembly = assembly
        self._shop = workshop
        self._settings = loaded.experiment.measure.memorization
        self._probing = self._settings and Probing(
            loaded, assembly, workshop, self._settings, workers, read_secret(secret_file)
        )
        self._auditor = Auditor(loaded.experiment, assembly, workshop)
        self._in_waves = in_waves
        self._waiting: dict[Key, ReachedModel] = {}
        self._probed: dict[Key, ReachedModel] = {}
        self._scored: set[Key] = set()
        self._tasks: list[asyncio.Future[None]] = []
        self._wave: asyncio.Future[None] | None = None
        self.reached: list[ReachedModel] = []
        self.tables: dict[str, list[pa.Table]] = {name: [] for name in _TABLES}

    def take(self, model: ReachedModel) -> None:
        """Notes a model that exists now, and starts to score it; `finish` waits for it."""
        self.reached.append(model)
        key = model.milestone.model
        if key not in self._scored:
            self._scored.add(key)
            self._start(self._score(model))
        for audit in self._auditor.take(model):
            self._start(audit)
        if self._settings and wanted(model.milestone, self._settings) and key not in self._probed:
            self._probed[key] = self._waiting[key] = model
            if self._settings.extraction:
                self._start(self._extract(model, self._settings))
            if self._full and (self._wave is None or self._wave.done()):
                self._wave = self._start(self._generate_waves())

    async def finish(self) -> None:
        """Waits for all scores, prompts what was not prompted yet, and compares what was answered."""
        await asyncio.gather(*self._tasks)
        for name, parts in self._auditor.tables.items():
            self.tables[name] += parts
        if self._probing:
            for name, parts in (await self._probing.tables(self._probed)).items():
                self.tables[name] += parts

    def abandon(self) -> None:
        """Stops whatever `take` has started."""
        for task in self._tasks:
            task.cancel()

    @property
    def wants_epochs(self) -> bool:
        """Whether models after every epoch are wanted."""
        return self._loaded.experiment.after_epochs

    @property
    def _full(self) -> bool:
        return bool(self._in_waves and self._probing and len(self._waiting) >= self._probing.models_at_once())

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda t: t.cancelled() or t.exception())  # awaited when training has ended
        self._tasks.append(task)
        return task

    async def _generate_waves(self) -> None:
        """Has waiting models answer the prompts, while nothing trains: generation takes every slot."""
        assert self._probing, "only probed models wait"
        while self._full:
            wave = {key: self._waiting.pop(key) for key in list(self._waiting)[: self._probing.models_at_once()]}
            pieces = await self._probing.look_up(wave)
            # Before it holds the slots, of which making what was let go takes one.
            await self._shop.bring_back(*dict.fromkeys(m for (m, _), piece in pieces.items() if piece.entry is None))
            async with self._shop.crew.slots.hold_all(float("inf")):
                await self._probing.generate(pieces)

    async def _score(self, model: ReachedModel) -> None:
        """Losses of `model` on every organization's validation split."""
        key, world, settings = model.milestone.model, model.instance.world, self._loaded.experiment.measure.perplexity
        if settings is None:
            return

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

    async def _extract(self, model: ReachedModel, settings: MemorizationSettings) -> None:
        """Has `model` recite passages of every organization."""
        self.tables["extraction"] += await extract(self._shop, model, settings)


def read_secret(path: Path) -> bytes:
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
    with naming("measure.perplexity.batch_size"):
        losses = file_losses(organization, weights, spec, sequence_length, batch_size, threads)
    return Product(tables={"losses": losses})
