"""The study's own counts of what models wrote: keyed work of the server, on text and keyed hashes that it has."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from raysim.core.arrow import with_columns
from raysim.core.keys import Key
from raysim.matching.line_index import LineIndex
from raysim.matching.study_counts import study_counts
from raysim.measures.memorization.recipes import study_recipe
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.simulation.executor import TrainedModel
from raysim.simulation.run_context import RunContext
from raysim.store.entries import Entry
from raysim.store.transfers import Transfer
from raysim.tables.schemas.generations import STUDY_COUNTS
from raysim.tasks.batch_jobs import Probe
from raysim.tasks.executor import TaskExecutor

STUDY_SCHEMA = STUDY_COUNTS.without("model")

Indexes = Callable[[], Awaitable[dict[str, LineIndex]]]
"""Gives the line indexes of all organizations."""


class StudyCounts:
    """Counts as the study does, from the continuations alone: no line of a prompt, nor the part that it has of one.

    Args:
        executor: does keyed work.
        context: of the models.
        settings: of memorization.
        kinds: kind of each prompt.
    """

    def __init__(
        self, executor: TaskExecutor, context: RunContext, settings: MemorizationSettings, kinds: Mapping[str, str]
    ) -> None:
        self._executor = executor
        self._context = context
        self._settings = settings
        self._kinds = kinds
        self._owned: dict[str, LineIndex] | None = None

    async def tables(
        self,
        models: Mapping[Key, TrainedModel],
        generated: Mapping[Probe, Entry],
        indexes: Indexes,
        secret: bytes,
    ) -> list[pa.Table]:
        """Parts of the table ``study_counts``.

        Args:
            models: by key.
            generated: the answers of each of them, for each organization whose prompts it answered.
            indexes: asked where something is to be counted.
            secret: the key of all line hashes.
        """
        entries: dict[Key, dict[str, Entry]] = {}
        for model, organization in sorted(generated):
            entries.setdefault(model, {})[organization] = generated[model, organization]
        found = []
        for model, answers in entries.items():
            keys = {name: entry.key for name, entry in answers.items()}
            recipe = study_recipe(self._context, keys, self._settings)
            work = partial(self._count, answers, indexes, secret)
            entry = await self._executor.run_on_server(recipe, f"counts of the study of {models[model].name}", work)
            found.append(with_columns(entry.table("study_counts"), model=model))
        return found

    async def _count(
        self, answers: Mapping[str, Entry], indexes: Indexes, secret: bytes
    ) -> tuple[list[Transfer], dict[str, pa.Table]]:
        """Of text and hashes that the server has already, so nothing moves."""
        if self._owned is None:
            self._owned = await indexes()
        settings, owned = self._settings, self._owned
        texts: dict[str, dict[tuple[str, int], str]] = {}
        for entry in answers.values():
            for row in entry.table("generations").select(["prompt", "sample", "text"]).to_pylist():
                texts.setdefault(self._kinds[row["prompt"]], {})[row["prompt"], row["sample"]] = row["text"]
        rows: list[dict[str, Any]] = []
        for kind, of_kind in sorted(texts.items()):
            counts = await asyncio.to_thread(
                study_counts, list(of_kind.values()), owned, settings.min_lines, secret, settings.study_counts.rules
            )
            prompts = len({prompt for prompt, _ in of_kind})
            for owner, count in counts.items():
                rows.append(
                    {
                        "kind": kind,
                        "owner": owner,
                        "simian": settings.study_counts.simian,
                        "prompts": prompts,
                        "samples": len(of_kind),
                        "fragments": count.fragments,
                        "lines": count.lines,
                        "fragments_per_prompt": count.fragments / prompts,
                        "lines_per_prompt": count.lines / prompts,
                    }
                )
        return [], {"study_counts": pa.Table.from_pylist(rows, schema=STUDY_SCHEMA)}
