"""Holds what models wrote against what they had seen: keyed work with the organizations whose lines it is about."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.core.arrow import table_bytes, with_columns
from raysim.core.keys import Key, key_of
from raysim.corpus.line_digests import Digests
from raysim.inference.prompts import open_line
from raysim.matching.line_index import LineIndex, distinct
from raysim.matching.overlap import Written, emission_rows, seen_rows, written_windows
from raysim.measures.memorization.client_functions import prompts_at
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
_Windows = dict[Key, dict[str, Digests]]
"""By model and owner of the lines."""


def seen_at(
    organization: Organization,
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """Counts what others' training splits hold of an organization's; runs there."""
    return seen_rows(organization.name, organization.corpus.train, min_lines, indexes, reference, secret)


def written_at(
    organization: Organization,
    settings: MemorizationSettings,
    split_seed: int,
    matches: Mapping[Key, pa.Table],
    owners: Sequence[str],
    secret: bytes,
) -> _Windows:
    """Digests what models wrote in answer to an organization's prompts; runs there, for its lines begin in them."""
    prompts = prompts_at(organization, settings, split_seed)
    begun = {
        p: open_line(text)[0] for p, text in zip(*(prompts[n].to_pylist() for n in ("prompt", "text")), strict=True)
    }
    return {
        model: {owner: written_windows(table, begun, owner, settings.min_lines, secret) for owner in owners}
        for model, table in matches.items()
    }


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

    Organizations are asked once for all models that the store knows nothing of: for hashes of the lines that the models
    wrote in answer to their prompts, which begin in those prompts, and then for what these are of their own lines. The
    hashes are keyed; the indexes of the others have reached them for their clones already.

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
            matches: dict[str, dict[Key, pa.Table]] = {}
            for model in chosen:
                for name, entry in entries[model].items():
                    matches.setdefault(name, {})[model] = entry.table("matches")
            return await self._count(chosen, matches, trained_on, indexes, secret)

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
        self,
        models: Sequence[Key],
        matches: Mapping[str, Mapping[Key, pa.Table]],
        trained_on: Mapping[Key, Sequence[str]],
        indexes: Indexes,
        secret: bytes,
    ) -> dict[Key, _Counted]:
        all_indexes, reference = await indexes()
        min_lines = self._settings.min_lines

        async def ask(name: str, function: Callable[..., Any], *args: Any) -> Any:
            return await self._executor.pool.call(name, "run", function, *args, secret)

        split_seed, owners = self._context.split_seed, list(all_indexes)
        found: list[_Windows] = await asyncio.gather(
            *(ask(name, written_at, self._settings, split_seed, tables, owners) for name, tables in matches.items())
        )
        written = {
            owner: [
                Written(
                    tuple(trained_on[model]),
                    distinct(np.concatenate([windows[model][owner] for windows in found if model in windows])),
                )
                for model in models
            ]
            for owner in owners
        }
        rows = await asyncio.gather(
            *(ask(owner, emissions_at, min_lines, written[owner], all_indexes, reference) for owner in owners)
        )
        counted: dict[Key, _Counted] = {}
        for number, model in enumerate(models):
            transfers = []
            for (name, matched), windows in zip(matches.items(), found, strict=True):
                if model in matched:
                    transfers.append(Transfer.of(SERVER, name, "match", table_bytes(matched[model])))
                    hashes = b"".join(digests.tobytes() for digests in windows[model].values())
                    transfers.append(Transfer.of(name, SERVER, "line hashes", hashes))
            for owner, tables in zip(owners, rows, strict=True):
                hashes = written[owner][number].windows.tobytes()
                transfers.append(Transfer.of(SERVER, owner, "line hashes", hashes))
                transfers.append(Transfer.of(owner, SERVER, "emissions", table_bytes(tables[number])))
            counted[model] = transfers, {"emissions": pa.concat_tables(tables[number] for tables in rows)}
        return counted
