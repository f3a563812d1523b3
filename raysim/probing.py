"""Probes models for memorization: prompts, generation, matching and clones, each a keyed step of its own.

Prompts are made and answered at their organization, line hashes are made where the lines lie, and what travels is
prompt ids, generated text, counts, and hashes that are keyed with a secret of the run.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raysim.arrow import table_bytes, table_of, with_columns
from raysim.assembly import Assembly
from raysim.corpus.corpus import fingerprint
from raysim.effectiveness.parsing import parses
from raysim.experiment import LoadedExperiment
from raysim.memorization.clones import clone_rows
from raysim.memorization.lineindex import LineIndex, build_index
from raysim.memorization.matching import count_copies, prompt_context, truth_windows
from raysim.memorization.pipeline import map_tables
from raysim.memorization.prompts import extract_prompts, mark_eligible, split_batches
from raysim.memorization.settings import MemorizationSettings
from raysim.memorization.steps import WORK_SCHEMA, GenerateStep, MatchStep
from raysim.probes import clones_recipe, generation_recipe, match_recipe, prompts_recipe
from raysim.recipe import Key, key_of
from raysim.simulation.ledger import SERVER, Crossing
from raysim.simulation.runner import ReachedModel
from raysim.simulation.stagelog import Kind, StageRecord
from raysim.simulation.store import Entry
from raysim.simulation.strategy import Milestone
from raysim.simulation.workshop import Done, Workshop
from raysim.training.organization import Organization

_JOB_WEIGHTS_BYTES = 1 << 30
"""Weights that one job of the pipeline holds in memory at once."""

_FACTS = ["prompt", "kind", "organization", "file", "repository", "licence", "lines_to_come", "eligible"]

Probe = tuple[Key, str]
"""A model, and the organization whose prompts it is asked."""


def wanted(milestone: Milestone, settings: MemorizationSettings) -> bool:
    """Whether a model is probed: final ones always, the initial one if any on the way are."""
    if milestone.final:
        return True
    if milestone.moment == "initial":
        return settings.when != ("final",)
    return f"every_{milestone.moment}" in settings.when


@dataclass(frozen=True)
class Told:
    """What an organization tells of its prompts; the prompts themselves stay with it.

    Attributes:
        facts: the columns of the ``prompts`` table that need no other organization; no code.
        context: see `raysim.memorization.matching.prompt_context`; keyed hashes.
        windows: see `raysim.memorization.matching.truth_windows`; keyed hashes.
        num_batches: of prompts that are generated together.
    """

    facts: pa.Table
    context: pa.Table
    windows: pa.Table
    num_batches: int


@dataclass
class _Piece:
    """One piece of keyed work on its way through the pipeline."""

    recipe: Mapping[str, Any]
    label: str
    tokens: int
    entry: Entry | None = None
    parts: list[pa.Table] = field(default_factory=list)


class Probing:
    """One run's probing.

    Args:
        loaded: the experiment.
        assembly: its parties.
        workshop: does keyed work.
        settings: of memorization.
        workers: of the pipeline.
        secret: key of line hashes.
    """

    def __init__(
        self,
        loaded: LoadedExperiment,
        assembly: Assembly,
        workshop: Workshop,
        settings: MemorizationSettings,
        workers: int,
        secret: bytes,
    ) -> None:
        self._loaded = loaded
        self._assembly = assembly
        self._shop = workshop
        self._settings = settings
        self._workers = workers
        self._secret = secret
        self._world = assembly.instances[0].world
        self._told: dict[str, Told] = {}
        self._index_cache: tuple[dict[str, LineIndex], LineIndex | None] | None = None

    async def run(self, models: Mapping[Key, ReachedModel]) -> dict[str, list[pa.Table]]:
        """Parts of the tables ``prompts``, ``generations``, ``samples``, ``matches`` and ``clones``."""
        told = await self._visit_all(tell, self._settings, self._loaded.experiment.split_seed, self._secret)
        self._told = dict(zip(self._assembly.organizations, told, strict=True))
        generated = await self._generate(models)
        matched = await self._match(models, generated)
        tables = await self._compare()
        seen: set[tuple[Key, str]] = set()
        for (model, organization), entry in generated.items():
            # A prompt that two organizations share is counted once, for the first of them.
            own = [p for p in self._told[organization].facts["prompt"].to_pylist() if (model, p) not in seen]
            seen |= {(model, prompt) for prompt in own}
            mine = pc.field("prompt").isin(own)
            samples = matched[model, organization].table("samples").filter(mine)
            matches = matched[model, organization].table("matches").filter(mine)
            generations = entry.table("generations").filter(mine)
            lines = samples.group_by(["prompt", "sample"]).aggregate([("lines", "max")])
            generations = generations.join(lines, ["prompt", "sample"]).rename_columns({"lines_max": "lines"})
            tables["generations"].append(with_columns(generations, model=model))
            tables["samples"].append(with_columns(samples, model=model))
            tables["matches"].append(with_columns(matches, model=model))
        return tables

    async def _generate(self, models: Mapping[Key, ReachedModel]) -> dict[Probe, Entry]:
        """Every model's answers to every organization's prompts."""
        settings, world = self._settings, self._world
        pieces: dict[Probe, _Piece] = {}
        for model, reached in models.items():
            for name, told in self._told.items():
                if not told.num_batches:
                    continue  # it has no prompt of the kinds that are asked for
                recipe = generation_recipe(reached.instance.world, model, name, settings)
                tokens = told.facts.num_rows * settings.samples * settings.new_tokens
                pieces[model, name] = _Piece(recipe, f"{reached.name}, prompts of {name}", tokens)
        num_batches = {name: told.num_batches for name, told in self._told.items()}
        await self._look_up(pieces)
        for group in self._groups(pieces):
            prompts = {
                name: self._shop.backend.refer(
                    party, "visit", prompt_batches, settings, self._loaded.experiment.split_seed
                )
                for name, party in self._assembly.organizations.items()
            }
            arguments = {
                "spec": world.spec,
                "tokenizer": self._shop.backend.share(self._assembly.tokenizer),
                "settings": settings,
                "precision": settings.precision or world.trainer.precision,
                "threads": world.trainer.threads,
                "seed": world.split_seed,
                "weights": {model: await self._shop.share(model) for model in dict.fromkeys(m for m, _ in group)},
                "prompts": prompts,
                "judge": parses,
            }
            work = [
                pa.Table.from_pylist([{"model": m, "organization": o, "batch": b}], schema=WORK_SCHEMA)
                for m, o in group
                for b in range(num_batches[o])
            ]
            pending = {probe: pieces[probe] for probe in group}
            await self._through(GenerateStep, arguments, work, pending, num_batches, _store_generations)
        return {probe: _done(piece) for probe, piece in pieces.items()}

    async def _match(self, models: Mapping[Key, ReachedModel], generated: Mapping[Probe, Entry]) -> dict[Probe, Entry]:
        """Every answer against the lines of all organizations."""
        references = fingerprint(self._assembly.references)
        pieces: dict[Probe, _Piece] = {}
        for (model, name), entry in generated.items():
            recipe = match_recipe(self._world, entry.key, self._settings, references)
            pieces[model, name] = _Piece(recipe, f"{models[model].name}, prompts of {name}", 0)
        await self._look_up(pieces)
        pending = {probe: piece for probe, piece in pieces.items() if piece.entry is None}
        if pending:
            indexes, reference = await self._indexes()
            arguments = {
                "settings": self._settings,
                "secret": self._secret,
                "indexes": {name: self._shop.backend.share(index) for name, index in indexes.items()},
                "reference": self._shop.backend.share(reference),
                "contexts": {name: self._shop.backend.share(told.context) for name, told in self._told.items()},
            }
            work = [with_columns(generated[m, o].table("generations"), model=m, organization=o) for m, o in pending]
            once = dict.fromkeys(self._assembly.organizations, 1)
            await self._through(MatchStep, arguments, work, pending, once, _store_matches)
        return {probe: _done(piece) for probe, piece in pieces.items()}

    async def _compare(self) -> dict[str, list[pa.Table]]:
        """Copies of what the prompts lead to, and clones between the corpora: from line hashes, before any model."""
        references = fingerprint(self._assembly.references)
        tables: dict[str, list[pa.Table]] = {
            name: [] for name in ("prompts", "generations", "samples", "matches", "clones")
        }
        seen: set[str] = set()
        for name, told in self._told.items():
            prompts = prompts_recipe(self._world, name, self._settings, references)
            entry = await self._shop.once(
                key_of(prompts), "", f"prompts of {name}", lambda r=prompts, t=told, n=name: self._count_copies(r, t, n)
            )
            table = entry.table("prompts")
            fresh = [prompt not in seen for prompt in table["prompt"].to_pylist()]
            seen |= set(table["prompt"].to_pylist())
            tables["prompts"].append(table.filter(pa.array(fresh)))
            clones = clones_recipe(self._world, name, self._settings, references)
            entry = await self._shop.once(
                key_of(clones), "", f"clones of {name}", lambda r=clones, n=name: self._find_clones(r, n)
            )
            tables["clones"].append(entry.table("clones"))
        return tables

    async def _count_copies(self, recipe: Mapping[str, Any], told: Told, name: str) -> Done:
        async def compute() -> tuple[list[Crossing], dict[str, pa.Table]]:
            indexes, reference = await self._indexes()
            owners = dict.fromkeys(told.facts["prompt"].to_pylist(), name)
            copies = count_copies(told.windows, indexes, owners, reference)
            table = told.facts
            for column in ("copies_within", "copies_across", "copies_public"):
                table = table.append_column(column, copies[column])
            moved = [("prompt facts", told.facts), ("line hashes", told.context), ("line hashes", told.windows)]
            return [Crossing.of(name, SERVER, kind, table_bytes(t)) for kind, t in moved], {"prompts": table}

        return await self._compute_here(recipe, compute)

    async def _find_clones(self, recipe: Mapping[str, Any], name: str) -> Done:
        async def compute() -> tuple[list[Crossing], dict[str, pa.Table]]:
            indexes, reference = await self._indexes()
            party = self._assembly.organizations[name]
            table = await self._shop.backend.call(
                party, "visit", clones_at, self._settings.min_lines, indexes, reference, self._secret
            )
            moved = [Crossing.of(o, name, "line hashes", i.windows.tobytes()) for o, i in indexes.items() if o != name]
            return [*moved, Crossing.of(name, SERVER, "clones", table_bytes(table))], {"clones": table}

        return await self._compute_here(recipe, compute)

    async def _compute_here(self, recipe: Mapping[str, Any], compute: Callable[[], Any]) -> Done:
        """Keyed work of the server on what the organizations told."""
        key = key_of(recipe)
        kind: Kind = recipe["kind"]
        if entry := await self._shop.cached(key):
            return entry, StageRecord(key, kind, "", "", "cached")
        started_s = time.monotonic()
        crossings, tables = await compute()
        info = {"crossings": [crossing.to_json() for crossing in crossings]}
        entry = await asyncio.to_thread(self._shop.store.put, recipe, info, None, tables)
        return entry, StageRecord(key, kind, "", "", "computed", time.monotonic() - started_s)

    async def _indexes(self) -> tuple[dict[str, LineIndex], LineIndex | None]:
        """Line indexes of all organizations, made there, and of the references; made when something needs them."""
        if self._index_cache is None:
            min_lines = self._settings.min_lines
            found = await self._visit_all(index_at, min_lines, self._secret)
            references = self._assembly.references
            reference = (
                await asyncio.to_thread(build_index, references, min_lines, self._secret) if references else None
            )
            self._index_cache = dict(zip(self._assembly.organizations, found, strict=True)), reference
        return self._index_cache

    async def _look_up(self, pieces: Mapping[Probe, _Piece]) -> None:
        """Takes what the store has."""
        for piece in pieces.values():
            piece.entry = await self._shop.cached(key_of(piece.recipe))
            if piece.entry:
                await self._finish(piece, 0.0, "cached")

    async def _through(
        self,
        step: type,
        arguments: dict[str, Any],
        work: Sequence[pa.Table],
        pieces: Mapping[Probe, _Piece],
        num_parts: Mapping[str, int],
        store: Callable[[list[pa.Table]], dict[str, pa.Table]],
    ) -> None:
        """Maps `step` over `work` and stores each piece when its last part has come."""
        results = map_tables(step, arguments, work, self._workers, self._shop.backend.name)
        started_s = time.monotonic()
        for piece in pieces.values():
            self._shop.observer.started(key_of(piece.recipe), piece.recipe["kind"], piece.label, piece.tokens)
        async for table in _as_they_come(results):
            probe = table["model"][0].as_py(), table["organization"][0].as_py()
            piece = pieces[probe]
            piece.parts.append(table)
            num = num_parts[probe[1]]
            if len(piece.parts) < num:
                self._shop.observer.progressed(key_of(piece.recipe), piece.tokens * len(piece.parts) // num, "")
                continue
            tables = store(piece.parts)
            content = b"".join(table_bytes(t) for t in tables.values())
            crossing = Crossing.of(probe[1], SERVER, piece.recipe["kind"], content)
            info = {"site": probe[1], "crossings": [crossing.to_json()]}
            piece.entry = await asyncio.to_thread(self._shop.store.put, piece.recipe, info, None, tables)
            piece.parts.clear()
            now_s = time.monotonic()
            await self._finish(piece, now_s - started_s, "computed")
            started_s = now_s

    async def _finish(self, piece: _Piece, seconds: float, status: Any) -> None:
        key, entry = key_of(piece.recipe), piece.entry
        assert entry is not None, "it has ended"

        async def done() -> Done:
            return entry, StageRecord(key, piece.recipe["kind"], "", piece.label, status, seconds, piece.tokens)

        await self._shop.once(key, "", piece.label, done)

    def _groups(self, pieces: Mapping[Probe, _Piece]) -> Iterator[list[Probe]]:
        """What is to generate, cut so that the weights of one job stay within bounds."""
        group: list[Probe] = []
        models: set[Key] = set()
        for probe, piece in pieces.items():
            if piece.entry is not None:
                continue
            if probe[0] not in models and len(models) >= self._models_per_job():
                yield group
                group, models = [], set()
            group.append(probe)
            models.add(probe[0])
        if group:
            yield group

    def _models_per_job(self) -> int:
        initial = self._shop.store.peek(self._world.initial_key())
        assert initial is not None, "training came first"
        return max(1, _JOB_WEIGHTS_BYTES // max(1, initial.num_bytes()))

    async def _visit_all(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        parties = self._assembly.organizations.values()
        return list(await asyncio.gather(*(self._shop.backend.call(p, "visit", function, *args) for p in parties)))


async def _as_they_come(results: Generator[pa.Table, None, None]) -> AsyncIterator[pa.Table]:
    """The items of a generator that blocks, each fetched in a thread.

    A cancelled wait lets that thread come to an end first: it would outlive Ray, and start one of its own.
    """
    while True:
        step = asyncio.ensure_future(asyncio.to_thread(next, results, None))
        try:
            table = await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            results.close()
            raise
        if table is None:
            return
        yield table


def _done(piece: _Piece) -> Entry:
    assert piece.entry is not None, "every piece has been through the pipeline or was in the store"
    return piece.entry


def _store_generations(parts: list[pa.Table]) -> dict[str, pa.Table]:
    whole = pa.concat_tables(sorted(parts, key=lambda part: part["batch"][0].as_py()))
    return {"generations": whole.drop_columns(list(WORK_SCHEMA.names))}


def _store_matches(parts: list[pa.Table]) -> dict[str, pa.Table]:
    (part,) = parts
    return {name: table_of(part[name][0].as_py()) for name in ("samples", "matches")}


def prompts_at(organization: Organization, settings: MemorizationSettings, split_seed: int) -> pa.Table:
    """A visitor that makes an organization's prompts. They hold code, so they do not leave."""
    prompts = extract_prompts(organization.corpus, organization.packed, organization.tokenizer, settings, split_seed)
    return mark_eligible(prompts, settings.min_lines)


def prompt_batches(organization: Organization, settings: MemorizationSettings, split_seed: int) -> list[pa.Table]:
    """A visitor that makes the batches in which an organization's prompts are answered, by workers that act for it."""
    return split_batches(prompts_at(organization, settings, split_seed), settings)


def tell(organization: Organization, settings: MemorizationSettings, split_seed: int, secret: bytes) -> Told:
    """A visitor that tells what may be told of an organization's prompts."""
    prompts = prompts_at(organization, settings, split_seed)
    return Told(
        facts=prompts.select(_FACTS),
        context=prompt_context(prompts, settings, secret),
        windows=truth_windows(prompts, settings, secret),
        num_batches=len(split_batches(prompts, settings)),
    )


def index_at(organization: Organization, min_lines: int, secret: bytes) -> LineIndex:
    """A visitor that indexes an organization's training split; the hashes are keyed with the run's secret."""
    return build_index(organization.corpus.train, min_lines, secret)


def clones_at(
    organization: Organization,
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """A visitor that compares an organization's training split with the line hashes of all."""
    return clone_rows(organization.name, organization.corpus.train, min_lines, indexes, reference, secret)
