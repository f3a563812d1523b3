"""Matches under other names: whose code models wrote with other identifiers, literals or layout, and what is chance.

Answers are compared at the organization that was prompted, by hashes of windows of tokens, keyed with a secret of the
run; so is held-out code, which nobody was trained on, as a control.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from raysim.core.arrow import table_bytes, table_of
from raysim.core.keys import Key
from raysim.matching.renamed import match_renamed
from raysim.measures.memorization.client_functions import renamed_chance_at
from raysim.measures.memorization.comparisons import Comparisons
from raysim.measures.memorization.recipes import renamed_chance_recipe, renamed_recipe
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.simulation.executor import TrainedModel
from raysim.simulation.run_context import RunContext
from raysim.store.entries import Entry
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.batch_jobs import BatchedTask, BatchJob, BatchJobs, Probe, groups
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.ray_data import fetch

_LIGHT_BYTES = 1 << 18
"""Generated text that is lexed in less time than workers of the pipeline take to start."""


class RenamedStep:
    """Matching under other names as a step of a batch job, made once for each worker.

    Args:
        min_tokens: consecutive tokens that make a match.
        secret: key of all token hashes.
        indexes: by organization, made there; or references to them.
        reference: of public code, or a reference to it.
        before: by organization: see `raysim.matching.renamed.texts_before`; or references to them. Code, so a worker
            acts for the organization whose prompts were answered.
    """

    def __init__(
        self, min_tokens: int, secret: bytes, indexes: Mapping[str, Any], reference: Any, before: Mapping[str, Any]
    ) -> None:
        self._min_tokens = min_tokens
        self._secret = secret
        self._indexes = {name: fetch(index) for name, index in indexes.items()}
        self._reference = fetch(reference)
        self._before = before

    def __call__(self, work: pa.Table) -> pa.Table:
        """Generations of one model at one organization with their matches, as packed tables, to such a row."""
        (row,) = work.to_pylist()
        generations, matches = (table_of(row[name]) for name in ("generations", "matches"))
        found = match_renamed(
            generations,
            matches,
            fetch(self._before[row["organization"]]),
            self._indexes,
            self._reference,
            self._min_tokens,
            self._secret,
        )
        names = {name: row[name] for name in ("model", "organization")}
        return pa.Table.from_pylist([{**names, "renamed": table_bytes(found)}])


class RenamedMatches:
    """Keyed work on what models wrote, and on held-out code.

    Args:
        executor: does keyed work.
        jobs: go through the pipeline.
        context: of the models.
        settings: of memorization; they ask for such matches.
        comparisons: hashes and prompts of all organizations.
        secret: key of all hashes.
    """

    def __init__(
        self,
        executor: TaskExecutor,
        jobs: BatchJobs,
        context: RunContext,
        settings: MemorizationSettings,
        comparisons: Comparisons,
        secret: bytes,
    ) -> None:
        assert settings.renamed is not None, "they are asked for"
        self._executor = executor
        self._jobs = jobs
        self._context = context
        self._settings = settings
        self._min_tokens = settings.renamed.min_tokens
        self._comparisons = comparisons
        self._secret = secret

    async def match(
        self,
        models: Mapping[Key, TrainedModel],
        generated: Mapping[Probe, Entry],
        matched: Mapping[Probe, Entry],
        models_at_once: int,
    ) -> dict[Probe, Entry]:
        """Every answer against the tokens of all organizations.

        Args:
            models: by key.
            generated: their answers, for each organization whose prompts they answered.
            matched: verbatim matches of the same answers.
            models_at_once: of one job of the pipeline.
        """
        pieces: dict[Probe, BatchedTask] = {}
        for (model, name), entry in matched.items():
            recipe = renamed_recipe(self._context, entry.key, self._settings, self._comparisons.references)
            label = f"{models[model].name}, prompts of {name}, under other names"
            went = (generated[model, name].table("generations"), entry.table("matches"))
            sent = tuple(Transfer.of(SERVER, name, "match", table_bytes(table)) for table in went)
            pieces[model, name] = BatchedTask(recipe, label, 0, 1, sent)
        await self._jobs.look_up(pieces)
        job = BatchJob(
            step=RenamedStep,
            arguments=self._arguments,
            work=lambda probe, _: _packed(probe, generated[probe], matched[probe]),
            part=lambda _: 0,
            tables=lambda parts: {"renamed": table_of(parts[0]["renamed"][0].as_py())},
        )
        for group in groups(pieces, models_at_once):
            light = sum(generated[probe].num_bytes() for probe in group) <= _LIGHT_BYTES
            await self._jobs.run(replace(job, light=light), {probe: pieces[probe] for probe in group})
        return {probe: piece.finished for probe, piece in pieces.items()}

    async def chance(self) -> list[pa.Table]:
        """Parts of the table ``renamed_chance``."""
        found = []
        for name in self._comparisons.names:
            recipe = renamed_chance_recipe(self._context, name, self._settings, self._comparisons.references)
            what, work = f"held-out code of {name} under other names", partial(self._compare_held_out, name)
            found.append((await self._executor.run_on_server(recipe, what, work)).table("renamed_chance"))
        return found

    async def _compare_held_out(self, name: str) -> tuple[list[Transfer], dict[str, pa.Table]]:
        """The line hashes of the others have reached the organization for its clones already."""
        indexes, reference = await self._comparisons.token_indexes(self._min_tokens)
        lines, _ = await self._comparisons.indexes()
        table = await self._executor.pool.call(
            name, "run", renamed_chance_at, self._min_tokens, indexes, reference, lines, self._secret
        )
        moved = [Transfer.of(o, name, "token hashes", i.windows.tobytes()) for o, i in indexes.items() if o != name]
        return [*moved, Transfer.of(name, SERVER, "renamed_chance", table_bytes(table))], {"renamed_chance": table}

    async def _arguments(self) -> dict[str, Any]:
        indexes, reference = await self._comparisons.token_indexes(self._min_tokens)
        share = self._executor.backend.share
        return {
            "min_tokens": self._min_tokens,
            "secret": self._secret,
            "indexes": {name: share(index) for name, index in indexes.items()},
            "reference": share(reference),
            "before": await self._comparisons.texts_before(),
        }


def _packed(probe: Probe, generated: Entry, matched: Entry) -> pa.Table:
    """The work of a step: one row."""
    model, organization = probe
    tables = {"generations": generated.table("generations"), "matches": matched.table("matches")}
    packed = {name: table_bytes(table) for name, table in tables.items()}
    return pa.Table.from_pylist([{"model": model, "organization": organization, **packed}])
