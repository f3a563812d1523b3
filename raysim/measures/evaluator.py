"""Measures the models of a run: visits to the organizations, and probing where an experiment asks for it."""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from raysim.core.arrow import with_columns
from raysim.core.keys import Key
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.setup import Assembly
from raysim.measures.client_tasks import VISIT_TABLES, Visit, visits
from raysim.measures.memorization.measure import PROBE_TABLES, AtMoments, Probing, wanted
from raysim.measures.pass_at_k.measure import SOLVING_TABLES, Solving
from raysim.simulation.executor import ReachedModel
from raysim.tasks.batch_jobs import Pieces
from raysim.tasks.executor import Workshop

_TABLES = (*PROBE_TABLES, *SOLVING_TABLES, *VISIT_TABLES)


class Asker(Protocol):
    """Asks models for text, which takes their weights; what comes of it is compared later, without them."""

    async def look_up(self, models: Mapping[Key, ReachedModel], /) -> Pieces: ...

    async def generate(self, pieces: Pieces, /) -> None: ...

    async def tables(self, models: Mapping[Key, ReachedModel], /) -> dict[str, list[pa.Table]]: ...

    def models_at_once(self) -> int: ...


@dataclass
class _Asking:
    """An asker, when it asks, the models that it has taken, and those of them that wait to be asked."""

    asker: Asker
    settings: AtMoments
    taken: dict[Key, ReachedModel] = field(default_factory=dict)
    waiting: dict[Key, ReachedModel] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return len(self.waiting) >= self.asker.models_at_once()


class Measurer:
    """Measures what a run reaches.

    Args:
        loaded: the experiment.
        assembly: its parties.
        workshop: does keyed work.
        workers: of the pipeline.
        secret_file: holds the key of line hashes; made if it is not there.
        in_waves: whether training pauses for prompts and problems whenever enough models wait for them; else they all
            wait for its end.
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
        measure = loaded.experiment.measure
        self._asking: list[_Asking] = []
        if settings := measure.memorization:
            probing = Probing(loaded, assembly, workshop, settings, workers, read_secret(secret_file))
            self._asking.append(_Asking(probing, settings))
        if settings := measure.pass_at_k:
            self._asking.append(_Asking(Solving(loaded, assembly, workshop, settings, workers), settings))
        self._in_waves = in_waves
        self._visited: set[Key] = set()
        self._tasks: list[asyncio.Future[None]] = []
        self._wave: asyncio.Future[None] | None = None
        self.reached: list[ReachedModel] = []
        self.tables: dict[str, list[pa.Table]] = {name: [] for name in _TABLES}

    def take(self, model: ReachedModel) -> None:
        """Notes a model that exists now, and starts to score it; `finish` waits for it."""
        self.reached.append(model)
        key, world = model.milestone.model, model.instance.world
        for visit in visits(self._loaded.experiment, self._assembly.tokenizer, world, model.milestone):
            if visit.key not in self._visited:
                self._visited.add(visit.key)
                self._start(self._pay(visit, model))
        for one in self._asking:
            if wanted(model.milestone, one.settings) and key not in one.taken:
                one.taken[key] = one.waiting[key] = model
        if self._in_waves and any(one.full for one in self._asking) and (self._wave is None or self._wave.done()):
            self._wave = self._start(self._generate_waves())

    async def finish(self) -> None:
        """Waits for all scores, asks what was not asked yet, and compares what was answered."""
        await asyncio.gather(*self._tasks)
        for one in self._asking:
            for name, parts in (await one.asker.tables(one.taken)).items():
                self.tables[name] += parts

    def abandon(self) -> None:
        """Stops whatever `take` has started."""
        for task in self._tasks:
            task.cancel()

    @property
    def wants_epochs(self) -> bool:
        """Whether models after every epoch are wanted."""
        return self._loaded.experiment.after_epochs

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda t: t.cancelled() or t.exception())  # awaited when training has ended
        self._tasks.append(task)
        return task

    async def _generate_waves(self) -> None:
        """Has waiting models generate, while nothing trains: generation takes every slot."""
        while one := next((one for one in self._asking if one.full), None):
            wave = {key: one.waiting.pop(key) for key in list(one.waiting)[: one.asker.models_at_once()]}
            pieces = await one.asker.look_up(wave)
            # Before it holds the slots, of which making what was let go takes one.
            await self._shop.bring_back(*dict.fromkeys(m for (m, _), piece in pieces.items() if piece.entry is None))
            async with self._shop.crew.slots.hold_all(float("inf")):
                await one.asker.generate(pieces)

    async def _pay(self, visit: Visit, model: ReachedModel) -> None:
        """Pays a visit about `model`, or about none, and keeps what it tells."""
        has_model, asked = "weights" in visit.recipe, f"{visit.about} of {visit.organization}"
        label = f"{model.name} on {asked}" if has_model else f"{asked}, without a model"
        entry = await self._shop.visit(
            visit.recipe, visit.organization, label, visit.visitor, *visit.arguments, tokens=visit.tokens
        )
        names = {"model": model.milestone.model} if has_model else {}
        found = with_columns(entry.table(visit.table), **names, organization=visit.organization)
        self.tables[visit.table].append(found)


def read_secret(path: Path) -> bytes:
    """The key of a run's line hashes, made at the run's first start; a kill leaves none or a whole one."""
    if not path.is_file():
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(secrets.token_bytes(32))
        unfinished.replace(path)
    return path.read_bytes()
