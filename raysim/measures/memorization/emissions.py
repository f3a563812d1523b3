"""Holds what models wrote against what they had seen: keyed work with the organizations whose lines it is about."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import pyarrow as pa

from raysim.core.arrow import table_bytes, with_columns
from raysim.core.keys import Key, key_of
from raysim.matching.line_index import LineIndex
from raysim.matching.overlap import Written, emission_rows, seen_rows, written_windows
from raysim.measures.memorization.recipes import emissions_recipe
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.organizations.organization import Organization
from raysim.simulation.executor import TrainedModel
from raysim.simulation.run_context import RunContext
from raysim.store.entries import Entry
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.batch_jobs import Probe
from raysim.tasks.executor import TaskExecutor

Indexes = Callable[[], Awaitable[tuple[dict[str, LineIndex], LineIndex | None]]]
"""Gives the line indexes of all organizations, and of the references."""

_Counted = tuple[list[Transfer], dict[str, pa.Table]]


def seen_at(
    organization: Organization,
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """Counts what others' training splits hold of an organization's; runs there."""
    return seen_rows(organization.name, organization.corpus.train, min_lines, indexes, reference, secret)


def emissions_at(
    organization: Organization,
    min_lines: int,
    written: Sequence[Written],
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> list[pa.Table]:
    """Counts what models wrote of an organization's training split; runs there."""
    files = organization.corpus.train
    return emission_rows(organization.name, files, min_lines, written, indexes, reference, secret)


class Emissions:
    """How much of each organization's code the models of a run give away, and how much of that they had seen.

    Organizations are asked once for all models that the store knows nothing of. To them go hashes of the lines that the
    models wrote, keyed; the indexes of the others have reached them for their clones already.

    Args:
        executor: does keyed work.
        context: of the models.
        settings: of memorization.
        references: fingerprint of the references.
    """

    def __init__(
        self, executor: TaskExecutor, context: RunContext, settings: MemorizationSettings, references: str
    ) -> None:
        self._executor = executor
        self._context = context
        self._settings = settings
        self._references = references

    async def tables(
        self, models: Mapping[Key, TrainedModel], matched: Mapping[Probe, Entry], indexes: Indexes, secret: bytes
    ) -> list[pa.Table]:
        """Parts of the table ``emissions``.

        Args:
            models: by key.
            matched: the matches of each of them, for each organization whose prompts it answered.
            indexes: asked where something is to be counted.
            secret: the key of all line hashes.
        """
        entries: dict[Key, dict[str, Entry]] = {}
        for model, organization in sorted(matched):
            entries.setdefault(model, {})[organization] = matched[model, organization]
        trained_on = {model: sorted(models[model].lineage.tokens_seen) for model in entries}
        recipes = {
            model: emissions_recipe(
                self._context,
                {name: entry.key for name, entry in entries[model].items()},
                trained_on[model],
                self._settings,
                self._references,
            )
            for model in entries
        }

        async def count(chosen: Sequence[Key]) -> dict[Key, _Counted]:
            texts = {m: pa.concat_tables(e.table("matches") for e in entries[m].values()) for m in chosen}
            return await self._count(texts, trained_on, indexes, secret)

        pending = [model for model, recipe in recipes.items() if not await self._executor.cached(key_of(recipe))]
        counted = await count(pending) if pending else {}

        async def compute(model: Key) -> _Counted:
            return counted.get(model) or (await count([model]))[model]

        found = []
        for model, recipe in recipes.items():
            label = f"emissions of {models[model].name}"
            entry = await self._executor.run_on_server(recipe, label, partial(compute, model))
            found.append(with_columns(entry.table("emissions"), model=model))
        return found

    async def _count(
        self, matches: Mapping[Key, pa.Table], trained_on: Mapping[Key, Sequence[str]], indexes: Indexes, secret: bytes
    ) -> dict[Key, _Counted]:
        all_indexes, reference = await indexes()
        min_lines = self._settings.min_lines
        written = {
            owner: [
                Written(tuple(trained_on[model]), written_windows(table, owner, min_lines, secret))
                for model, table in matches.items()
            ]
            for owner in all_indexes
        }
        rows = await asyncio.gather(
            *(
                self._executor.pool.call(
                    owner, "run", emissions_at, min_lines, written[owner], all_indexes, reference, secret
                )
                for owner in all_indexes
            )
        )
        counted: dict[Key, _Counted] = {}
        for number, model in enumerate(matches):
            transfers = []
            for owner, tables in zip(all_indexes, rows, strict=True):
                windows = written[owner][number].windows
                transfers.append(Transfer.of(SERVER, owner, "line hashes", windows.tobytes()))
                transfers.append(Transfer.of(owner, SERVER, "emissions", table_bytes(tables[number])))
            counted[model] = transfers, {"emissions": pa.concat_tables(tables[number] for tables in rows)}
        return counted
