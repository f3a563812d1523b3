"""Probes models for memorization: prompts, generation, matching and clones, each a keyed step of its own.

Prompts are made and answered at their organization, and their answers are matched there, since a match may begin in the
prompt. Line hashes are made where the lines lie. What travels is prompt ids, generated text without a character of its
prompt, counts, and hashes that are keyed with a secret of the run.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raysim.core.arrow import table_bytes, table_of, with_columns
from raysim.core.keys import Key
from raysim.corpus.corpus import fingerprint
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.overlap import copies_by_organization
from raysim.matching.truths import count_copies
from raysim.measures.base import EvalContext
from raysim.measures.generation import generation_job, models_per_job, numerics
from raysim.measures.memorization.client_functions import (
    PromptStats,
    clones_at,
    contexts_at,
    describe_prompts,
    index_at,
    prompt_batches,
)
from raysim.measures.memorization.emissions import Emissions
from raysim.measures.memorization.match_step import MatchStep
from raysim.measures.memorization.recipes import (
    clones_recipe,
    copies_recipe,
    generation_recipe,
    match_recipe,
    prompts_recipe,
)
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.memorization.study import StudyCounts
from raysim.measures.parsing import parses
from raysim.simulation.executor import TrainedModel
from raysim.store.entries import Entry
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.batch_jobs import WORK_SCHEMA, BatchedTask, BatchedTasks, BatchJob, BatchJobs, Probe, groups
from raysim.tasks.executor import TaskExecutor

PROBE_TABLES = ("prompts", "copies", "generations", "samples", "study_counts", "matches", "emissions", "clones")


_LIGHT_GENERATION = 10**10
"""Parameters times tokens that take less time than workers of the pipeline take to start; measured: seconds."""
_LIGHT_MATCHING_BYTES = 1 << 20
"""Generated text of which the same holds."""


class MemorizationMeasure:
    """Memorization in one run; implements `raysim.measures.base.GenerationMeasure`.

    Args:
        context: of the run.
        executor: does keyed work.
        settings: of memorization.
        workers: of the pipeline.
        secret: key of line hashes.
    """

    def __init__(
        self,
        context: EvalContext,
        executor: TaskExecutor,
        settings: MemorizationSettings,
        workers: int,
        secret: bytes,
    ) -> None:
        self._executor = executor
        self._settings = settings
        self._jobs = BatchJobs(executor, workers)
        self._secret = secret
        self._tokenizer = context.tokenizer
        self._public = context.references
        self._references = fingerprint(context.references)
        self._context = context.run
        self._prompt_stats: dict[str, PromptStats] = {}
        self._seeds: dict[Key, int] = {}
        self._index_cache: tuple[dict[str, LineIndex], LineIndex | None] | None = None

    async def look_up(self, models: Mapping[Key, TrainedModel]) -> BatchedTasks:
        """Every model's answers to every organization's prompts, as far as they are in the store."""
        settings = self._settings
        prompt_stats = await self._ask_prompt_stats()
        pieces: dict[Probe, BatchedTask] = {}
        for model, reached in models.items():
            self._seeds[model] = reached.strategy_run.context.seed
            for name, one in prompt_stats.items():
                if not one.num_batches:
                    continue  # it has no prompt of the kinds that are asked for
                recipe = generation_recipe(reached.strategy_run.context, model, name, settings)
                tokens = one.facts.num_rows * settings.samples * settings.new_tokens
                pieces[model, name] = BatchedTask(recipe, f"{reached.name}, prompts of {name}", tokens, one.num_batches)
        await self._jobs.look_up(pieces)
        return pieces

    async def generate(self, pieces: BatchedTasks) -> None:
        """Has models give the answers that are not there yet; after that their weights are not needed here."""
        for group in groups(pieces, self.models_at_once()):
            models = tuple(dict.fromkeys(model for model, _ in group))
            tokens = sum(pieces[probe].tokens for probe in group)
            light = tokens * self._initial["parameters"] <= _LIGHT_GENERATION
            job = generation_job(partial(self._generate_arguments, models), _store_generations, light)
            await self._jobs.run(job, {probe: pieces[probe] for probe in group})

    async def tables(self, models: Mapping[Key, TrainedModel]) -> dict[str, list[pa.Table]]:
        """Parts of the tables `PROBE_TABLES`."""
        prompt_stats = await self._ask_prompt_stats()
        pieces = await self.look_up(models)
        await self.generate(pieces)
        generated = {probe: piece.finished for probe, piece in pieces.items()}
        matched = await self._match(models, generated)
        tables = await self._compare()
        emissions = Emissions(self._executor, self._context, self._settings, self._references)
        tables["emissions"] += await emissions.tables(models, matched, self._indexes, self._secret)
        study = StudyCounts(self._executor, self._context, self._settings, self._kinds())
        tables["study_counts"] += await study.tables(models, generated, self._study_indexes, self._secret)
        seen: set[tuple[Key, str]] = set()
        for (model, organization), entry in generated.items():
            # A prompt that two organizations share is counted once, for the first of them.
            own = [p for p in prompt_stats[organization].facts["prompt"].to_pylist() if (model, p) not in seen]
            seen |= {(model, prompt) for prompt in own}
            mine = _prompt_in(own)
            samples = matched[model, organization].table("samples").filter(mine)
            matches = matched[model, organization].table("matches").filter(mine)
            generations = entry.table("generations").filter(mine)
            lines = samples.group_by(["prompt", "sample"]).aggregate([("lines", "max")])
            generations = generations.join(lines, ["prompt", "sample"]).rename_columns({"lines_max": "lines"})
            tables["generations"].append(with_columns(generations, model=model))
            tables["samples"].append(with_columns(samples, model=model))
            tables["matches"].append(with_columns(matches, model=model))
        return tables

    async def _ask_prompt_stats(self) -> dict[str, PromptStats]:
        """Descriptions of the prompts of all organizations, asked for once."""
        if not self._prompt_stats:
            prompt_stats = await self._ask_all(describe_prompts, self._settings, self._context.split_seed, self._secret)
            self._prompt_stats = dict(zip(self._names, prompt_stats, strict=True))
        return self._prompt_stats

    async def _generate_arguments(self, models: tuple[Key, ...]) -> dict[str, Any]:
        settings, context, pool = self._settings, self._context, self._executor.pool
        split_seed = self._context.split_seed
        return {
            "spec": context.spec,
            "tokenizer": pool.backend.share(self._tokenizer),
            "settings": settings,
            "numerics": numerics(context, settings),
            "threads": context.trainer.threads,
            "seeds": {model: self._seeds[model] for model in models},
            "weights": {model: await self._executor.broadcast(model) for model in models},
            "prompts": {n: await pool.call_ref(n, "run", prompt_batches, settings, split_seed) for n in self._names},
            "judge": parses,
        }

    async def _match(self, models: Mapping[Key, TrainedModel], generated: Mapping[Probe, Entry]) -> dict[Probe, Entry]:
        """Every answer against the lines of all organizations."""
        pieces: dict[Probe, BatchedTask] = {}
        for (model, name), entry in generated.items():
            recipe = match_recipe(self._context, entry.key, self._settings, self._references)
            came = (Transfer.from_json(row) for row in entry.info["crossings"])
            sent = tuple(replace(transfer, sender=SERVER, receiver=name) for transfer in came)
            pieces[model, name] = BatchedTask(recipe, f"{models[model].name}, prompts of {name}", 0, 1, sent)
        await self._jobs.look_up(pieces)
        job = BatchJob(
            step=MatchStep,
            arguments=self._match_arguments,
            work=lambda probe, _: with_columns(
                generated[probe].table("generations"), model=probe[0], organization=probe[1]
            ),
            part=lambda _: 0,
            tables=_store_matches,
        )
        for group in groups(pieces, self.models_at_once()):
            light = sum(generated[probe].num_bytes() for probe in group) <= _LIGHT_MATCHING_BYTES
            await self._jobs.run(replace(job, light=light), {probe: pieces[probe] for probe in group})
        return {probe: piece.finished for probe, piece in pieces.items()}

    async def _match_arguments(self) -> dict[str, Any]:
        indexes, reference = await self._indexes()
        share, pool = self._executor.backend.share, self._executor.pool
        settings, split_seed, secret = self._settings, self._context.split_seed, self._secret
        return {
            "min_lines": settings.min_lines,
            "window_in_prompt": settings.window_in_prompt,
            "secret": secret,
            "indexes": {name: share(index) for name, index in indexes.items()},
            "reference": share(reference),
            "contexts": {
                n: await pool.call_ref(n, "run", contexts_at, settings, split_seed, secret) for n in self._names
            },
        }

    async def _compare(self) -> dict[str, list[pa.Table]]:
        """Copies of what the prompts lead to, and clones between the corpora: from line hashes, before any model."""
        tables: dict[str, list[pa.Table]] = {name: [] for name in PROBE_TABLES}
        seen: set[str] = set()
        for name, prompt_stats in self._prompt_stats.items():
            prompts = prompts_recipe(self._context, name, self._settings, self._references)
            entry = await self._executor.run_on_server(
                prompts, f"prompts of {name}", partial(self._count_copies, prompt_stats, name)
            )
            table = entry.table("prompts")
            mine = _prompt_in([prompt for prompt in table["prompt"].to_pylist() if prompt not in seen])
            seen |= set(table["prompt"].to_pylist())
            tables["prompts"].append(table.filter(mine))
            copies = copies_recipe(self._context, name, self._settings)
            entry = await self._executor.run_on_server(
                copies, f"copies of {name}'s prompts", partial(self._place, prompt_stats)
            )
            tables["copies"].append(entry.table("copies").filter(mine))
            clones = clones_recipe(self._context, name, self._settings, self._references)
            entry = await self._executor.run_on_server(clones, f"clones of {name}", partial(self._find_clones, name))
            tables["clones"].append(entry.table("clones"))
        return tables

    async def _count_copies(self, prompt_stats: PromptStats, name: str) -> tuple[list[Transfer], dict[str, pa.Table]]:
        indexes, reference = await self._indexes()
        owners = dict.fromkeys(prompt_stats.facts["prompt"].to_pylist(), name)
        copies = count_copies(prompt_stats.windows, indexes, owners, reference)
        table = prompt_stats.facts
        for column in ("copies_within", "copies_across", "copies_public"):
            table = table.append_column(column, copies[column])
        moved = [
            ("prompt facts", prompt_stats.facts),
            ("line hashes", prompt_stats.windows),
        ]
        return [Transfer.of(name, SERVER, kind, table_bytes(t)) for kind, t in moved], {"prompts": table}

    async def _place(self, prompt_stats: PromptStats) -> tuple[list[Transfer], dict[str, pa.Table]]:
        """Of hashes that the server has already, so nothing moves."""
        indexes, _ = await self._indexes()
        return [], {"copies": copies_by_organization(prompt_stats.facts, prompt_stats.windows, indexes)}

    async def _find_clones(self, name: str) -> tuple[list[Transfer], dict[str, pa.Table]]:
        indexes, reference = await self._indexes()
        table = await self._executor.pool.call(
            name, "run", clones_at, self._settings.min_lines, indexes, reference, self._secret
        )
        moved = [Transfer.of(o, name, "line hashes", i.windows.tobytes()) for o, i in indexes.items() if o != name]
        return [*moved, Transfer.of(name, SERVER, "clones", table_bytes(table))], {"clones": table}

    async def _indexes(self) -> tuple[dict[str, LineIndex], LineIndex | None]:
        """Line indexes of all organizations, made there, and of the references; made when something needs them."""
        if self._index_cache is None:
            min_lines = self._settings.min_lines
            found = await self._ask_all(index_at, min_lines, self._secret)
            references = self._public
            reference = (
                await asyncio.to_thread(build_index, references, min_lines, self._secret) if references else None
            )
            self._index_cache = dict(zip(self._names, found, strict=True)), reference
        return self._index_cache

    async def _study_indexes(self) -> dict[str, LineIndex]:
        """Line indexes of all organizations under the rules by which the study's counts compare."""
        rules = self._settings.study_counts.rules
        if rules == "exact":
            return (await self._indexes())[0]
        found = await self._ask_all(index_at, self._settings.min_lines, self._secret, rules)
        return dict(zip(self._names, found, strict=True))

    def _kinds(self) -> dict[str, str]:
        """The kind of each prompt."""
        facts = [one.facts.select(["prompt", "kind"]) for one in self._prompt_stats.values()]
        return {row["prompt"]: row["kind"] for table in facts for row in table.to_pylist()}

    def models_at_once(self) -> int:
        """How many models one job of the pipeline holds."""
        return models_per_job(self._initial["parameters"])

    @property
    def _initial(self) -> Mapping[str, Any]:
        initial = self._executor.store.peek(self._context.initial_key())
        assert initial is not None, "training came first"
        return initial.info

    @property
    def _names(self) -> list[str]:
        return list(self._context.client_stats)

    async def _ask_all(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return list(await asyncio.gather(*(self._executor.pool.call(n, "run", function, *args) for n in self._names)))


def _store_generations(parts: list[pa.Table]) -> dict[str, pa.Table]:
    return {"generations": pa.concat_tables(parts).drop_columns(list(WORK_SCHEMA.names))}


def _store_matches(parts: list[pa.Table]) -> dict[str, pa.Table]:
    (part,) = parts
    return {name: table_of(part[name][0].as_py()) for name in ("samples", "matches")}


def _prompt_in(prompts: list[str]) -> pc.Expression:
    """Rows of these prompts. There may be none, and an empty list has no type that compares with text."""
    return pc.field("prompt").isin(pa.array(prompts, pa.string()))
