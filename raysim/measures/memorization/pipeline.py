"""Probes models for memorization: prompts, generation, matching and clones, each a keyed step of its own.

Prompts are made and answered at their organization, and their answers are matched there, since the line with which an
answer begins may be the prompt's in part. Line hashes are made where the lines lie. What travels is prompt ids,
generated text without a character of its prompt, counts, and hashes that are keyed with a secret of the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raysim.core.arrow import table_of, with_columns
from raysim.core.keys import Key
from raysim.inference.output_filter import BLOCKS_FIELDS, OutputFilter
from raysim.inference.prompts import FROM_TRAINING
from raysim.measures.base import EvalContext, scores_of
from raysim.measures.generation import generation_job, models_per_job, numerics
from raysim.measures.memorization.comparisons import Comparisons, prompt_in
from raysim.measures.memorization.emissions import Emissions
from raysim.measures.memorization.filter_blocks import FilterBlocks
from raysim.measures.memorization.match_step import MatchStep
from raysim.measures.memorization.recipes import generation_recipe, match_recipe, neutral_generation_recipe
from raysim.measures.memorization.renamed import RenamedMatches
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.memorization.study import StudyCounts
from raysim.measures.memorization.uploads import Uploads
from raysim.measures.parsing import parses
from raysim.simulation.executor import TrainedModel
from raysim.simulation.run_context import RunContext
from raysim.store.entries import Entry
from raysim.store.model_scores import LINES
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.batch_jobs import WORK_SCHEMA, BatchedTask, BatchedTasks, BatchJob, BatchJobs, Probe, groups
from raysim.tasks.executor import TaskExecutor

PROBE_TABLES = (
    "prompts",
    "copies",
    "generations",
    "samples",
    "study_counts",
    "filter_blocks",
    "matches",
    "renamed",
    "renamed_chance",
    "emissions",
    "uploads",
    "clones",
    "held_out_copies",
)


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
        self._evaluation = context
        self._context = context.run
        self._comparisons = Comparisons(context, executor, settings, secret)
        self._seeds: dict[Key, int] = {}
        self._told: set[Probe] = set()

    async def look_up(self, models: Mapping[Key, TrainedModel]) -> BatchedTasks:
        """Every model's answers to the prompts that it is given, as far as they are in the store.

        These are everybody's; an upload is given those of its organization alone.
        """
        settings = self._settings
        prompt_stats = await self._comparisons.prompt_stats()
        pieces: dict[Probe, BatchedTask] = {}
        for model, reached in models.items():
            run, checkpoint = reached.strategy_run.context, reached.checkpoint
            self._seeds[model] = run.seed
            for name, one in prompt_stats.items():
                if not one.num_batches:
                    continue  # it has no prompt of the kinds that are asked for
                if checkpoint.moment == "upload" and name != checkpoint.last:
                    continue
                tokens = one.facts.num_rows * settings.samples * settings.new_tokens
                label = f"{reached.name}, {'neutral prompts' if name == SERVER else f'prompts of {name}'}"
                pieces[model, name] = BatchedTask(self._asked(run, model, name), label, tokens, one.num_batches)
        await self._jobs.look_up(pieces)
        return pieces

    async def generate(self, pieces: BatchedTasks) -> None:
        """Has models give the answers that are not there yet; after that their weights are not needed here."""
        if self._settings.output_filter:
            for (_, name), piece in pieces.items():
                if piece.entry is None:
                    piece.sent = await self._comparisons.filters_sent(name)
        for group in groups(pieces, self.models_at_once()):
            models = tuple(dict.fromkeys(model for model, _ in group))
            tokens = sum(pieces[probe].tokens for probe in group)
            light = tokens * self._initial["parameters"] <= _LIGHT_GENERATION
            job = generation_job(partial(self._generate_arguments, models), _store_generations, light)
            await self._jobs.run(job, {probe: pieces[probe] for probe in group})

    async def compare(self, models: Mapping[Key, TrainedModel], pieces: BatchedTasks) -> None:
        """Matches what these models wrote; observers receive whose lines that is."""
        await self._match(models, {probe: piece.finished for probe, piece in pieces.items()})

    async def tables(
        self, models: Mapping[Key, TrainedModel], reached: Sequence[TrainedModel] = ()
    ) -> dict[str, list[pa.Table]]:
        """Parts of the tables `PROBE_TABLES`."""
        pieces = await self.look_up(models)
        await self.generate(pieces)
        generated = {probe: piece.finished for probe, piece in pieces.items()}
        matched = await self._match(models, generated)
        tables: dict[str, list[pa.Table]] = {name: [] for name in PROBE_TABLES} | await self._comparisons.tables()
        sent = [model for model in reached if model.checkpoint.moment == "upload"]
        tables["uploads"] += await Uploads(self._executor, self._evaluation).tables(sent, matched)
        whole = {key for key, model in models.items() if model.checkpoint.moment != "upload"}
        generated = {probe: entry for probe, entry in generated.items() if probe[0] in whole}
        matched = {probe: matched[probe] for probe in generated}
        kinds, settings = await self._kinds(), self._settings
        emissions = Emissions(self._executor, self._context, settings, self._comparisons.references)
        of_organizations = {probe: entry for probe, entry in matched.items() if probe[1] != SERVER}
        tables["emissions"] += await emissions.tables(models, of_organizations, self._comparisons.indexes, self._secret)
        study = StudyCounts(self._executor, self._context, settings, kinds)
        indexes = partial(self._comparisons.indexes_by, settings.study_counts.rules)
        tables["study_counts"] += await study.tables(models, generated, indexes, self._secret)
        if settings.output_filter:
            blocks = FilterBlocks(self._executor, self._comparisons, kinds)
            tables["filter_blocks"] += await blocks.tables(models, generated)
        renamed: dict[Probe, Entry] = {}
        if settings.renamed:
            arguments = self._executor, self._jobs, self._context, settings, self._comparisons, self._secret
            matches = RenamedMatches(*arguments)
            renamed = await matches.match(models, generated, matched, self.models_at_once())
            tables["renamed_chance"] += await matches.chance()
        for name, parts in (await self._of_samples(generated, matched, renamed)).items():
            tables[name] += parts
        return tables

    async def _of_samples(
        self, generated: Mapping[Probe, Entry], matched: Mapping[Probe, Entry], renamed: Mapping[Probe, Entry]
    ) -> dict[str, list[pa.Table]]:
        """Parts of the tables ``generations``, ``samples``, ``matches`` and, of what is `renamed`, of that."""
        prompt_stats = await self._comparisons.prompt_stats()
        tables: dict[str, list[pa.Table]] = {"generations": [], "samples": [], "matches": [], "renamed": []}
        seen: set[tuple[Key, str]] = set()
        for (model, organization), entry in generated.items():
            # A prompt that two organizations share is counted once, for the first of them.
            own = [p for p in prompt_stats[organization].facts["prompt"].to_pylist() if (model, p) not in seen]
            seen |= {(model, prompt) for prompt in own}
            mine = prompt_in(own)
            samples = matched[model, organization].table("samples").filter(mine)
            matches = matched[model, organization].table("matches").filter(mine)
            generations = entry.table("generations").filter(mine)
            lines = samples.group_by(["prompt", "sample"]).aggregate([("lines", "max")])
            generations = generations.join(lines, ["prompt", "sample"]).rename_columns({"lines_max": "lines"})
            tables["generations"].append(with_columns(generations, model=model))
            tables["samples"].append(with_columns(samples, model=model))
            tables["matches"].append(with_columns(matches, model=model))
            if found := renamed.get((model, organization)):
                tables["renamed"].append(with_columns(found.table("renamed").filter(mine), model=model))
        return tables

    def _asked(self, run: RunContext, model: Key, name: str) -> dict[str, Any]:
        """Recipe of a model's answers to the prompts of an organization, or to the neutral ones of the server."""
        if name == SERVER and (neutral := self._comparisons.neutral):
            return neutral_generation_recipe(run, model, neutral.fingerprint, self._settings)
        return generation_recipe(run, model, name, self._settings)

    async def _generate_arguments(self, models: tuple[Key, ...]) -> dict[str, Any]:
        settings, context, pool = self._settings, self._context, self._executor.pool
        return {
            "spec": context.spec,
            "tokenizer": pool.backend.share(self._tokenizer),
            "settings": settings,
            "numerics": numerics(context, settings),
            "threads": context.trainer.threads,
            "seeds": {model: self._seeds[model] for model in models},
            "weights": {model: await self._executor.broadcast(model) for model in models},
            "prompts": await self._comparisons.batches(),
            "judge": parses if settings.asks_functions else None,
            **await self._filter_arguments(),
        }

    async def _filter_arguments(self) -> dict[str, Any]:
        settings = self._settings.output_filter
        if settings is None:
            return {}
        attempts, key = settings.attempts if settings.action == "resample" else 0, await self._comparisons.filter_key()
        filters, share = await self._comparisons.filters(), self._executor.backend.share
        return {
            "filter_by": OutputFilter(settings.lines, attempts, settings.window_in_prompt, key, {}),
            "filters": {name: share(one) for name, one in filters.items()},
        }

    async def _match(self, models: Mapping[Key, TrainedModel], generated: Mapping[Probe, Entry]) -> dict[Probe, Entry]:
        """Every answer against the lines of all organizations."""
        pieces: dict[Probe, BatchedTask] = {}
        for (model, name), entry in generated.items():
            recipe = match_recipe(self._context, entry.key, self._settings, self._comparisons.references)
            came = (Transfer.from_json(row) for row in entry.info.get("crossings", ()))
            answers = (transfer for transfer in came if transfer.kind == entry.recipe["kind"])
            sent = tuple(replace(transfer, sender=SERVER, receiver=name) for transfer in answers)
            pieces[model, name] = BatchedTask(recipe, f"{models[model].name}, prompts of {name}", 0, 1, sent)
        await self._jobs.look_up(pieces)
        await self._tell(models, pieces)
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
            await self._tell(models, pieces)
        return {probe: piece.finished for probe, piece in pieces.items()}

    async def _tell(self, models: Mapping[Key, TrainedModel], pieces: BatchedTasks) -> None:
        """Hands what is known of models at organizations to observers, each once."""
        kinds = await self._kinds()
        for (model, name), piece in pieces.items():
            if piece.entry and name != SERVER and (model, name) not in self._told:
                self._told.add((model, name))
                if scores := leaked_lines(piece.entry.table("samples"), name, kinds):
                    self._executor.observer.measured(scores_of(models[model], name, scores))

    async def _match_arguments(self) -> dict[str, Any]:
        indexes, reference = await self._comparisons.indexes()
        share, settings = self._executor.backend.share, self._settings
        return {
            "min_lines": settings.min_lines,
            "window_in_prompt": settings.window_in_prompt,
            "secret": self._secret,
            "indexes": {name: share(index) for name, index in indexes.items()},
            "reference": share(reference),
            "contexts": await self._comparisons.contexts(),
        }

    async def _kinds(self) -> dict[str, str]:
        """The kind of each prompt."""
        facts = [one.facts.select(["prompt", "kind"]) for one in (await self._comparisons.prompt_stats()).values()]
        return {row["prompt"]: row["kind"] for table in facts for row in table.to_pylist()}

    def models_at_once(self) -> int:
        """How many models one job of the pipeline holds."""
        return models_per_job(self._initial["parameters"])

    @property
    def _initial(self) -> Mapping[str, Any]:
        initial = self._executor.store.peek(self._context.initial_key())
        assert initial is not None, "training came first"
        return initial.info


def leaked_lines(samples: pa.Table, organization: str, kinds: Mapping[str, str]) -> dict[str, float]:
    """Lines of an organization in answers to its own prompts from training, over all samples, a prompt.

    Args:
        samples: answers to its prompts, with a row for each owner.
        organization: that owns the lines.
        kinds: of the prompts.

    Returns:
        the scores `raysim.store.model_scores.LINES`; none where it has no such prompt.
    """
    own = samples.filter(pc.field("owner") == organization).to_pylist()
    rows = [row for row in own if kinds[row["prompt"]] in FROM_TRAINING]
    prompts = {row["prompt"] for row in rows}
    return {name: sum(row[name.removesuffix("_lines")] for row in rows) / len(prompts) for name in LINES if prompts}


def _store_generations(parts: list[pa.Table]) -> dict[str, pa.Table]:
    table = pa.concat_tables(parts).drop_columns(list(WORK_SCHEMA.names))
    blocked = [name for name, _ in BLOCKS_FIELDS if name in table.column_names]
    if not blocked:
        return {"generations": table}
    return {"generations": table.drop_columns(blocked), "blocks": table.select(["prompt", "sample", *blocked])}


def _store_matches(parts: list[pa.Table]) -> dict[str, pa.Table]:
    (part,) = parts
    return {name: table_of(part[name][0].as_py()) for name in ("samples", "matches")}
