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

from raysim.core.arrow import table_of, with_columns
from raysim.core.keys import Key
from raysim.measures.base import EvalContext
from raysim.measures.generation import generation_job, models_per_job, numerics
from raysim.measures.memorization.comparisons import Comparisons, prompt_in
from raysim.measures.memorization.emissions import Emissions
from raysim.measures.memorization.match_step import MatchStep
from raysim.measures.memorization.recipes import generation_recipe, match_recipe, neutral_generation_recipe
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.memorization.study import StudyCounts
from raysim.measures.memorization.uploads import Uploads
from raysim.measures.parsing import parses
from raysim.simulation.executor import TrainedModel
from raysim.simulation.run_context import RunContext
from raysim.store.entries import Entry
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.batch_jobs import WORK_SCHEMA, BatchedTask, BatchedTasks, BatchJob, BatchJobs, Probe, groups
from raysim.tasks.executor import TaskExecutor

PROBE_TABLES = (
    "prompts",
    "copies",
    "generations",
    "samples",
    "study_counts",
    "matches",
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
        for group in groups(pieces, self.models_at_once()):
            models = tuple(dict.fromkeys(model for model, _ in group))
            tokens = sum(pieces[probe].tokens for probe in group)
            light = tokens * self._initial["parameters"] <= _LIGHT_GENERATION
            job = generation_job(partial(self._generate_arguments, models), _store_generations, light)
            await self._jobs.run(job, {probe: pieces[probe] for probe in group})

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
        kinds = await self._kinds()
        emissions = Emissions(self._executor, self._context, self._settings, self._comparisons.references)
        of_organizations = {probe: entry for probe, entry in matched.items() if probe[1] != SERVER}
        tables["emissions"] += await emissions.tables(models, of_organizations, self._comparisons.indexes, self._secret)
        study = StudyCounts(self._executor, self._context, self._settings, kinds)
        indexes = partial(self._comparisons.indexes_by, self._settings.study_counts.rules)
        tables["study_counts"] += await study.tables(models, generated, indexes, self._secret)
        for name, parts in (await self._of_samples(generated, matched)).items():
            tables[name] += parts
        return tables

    async def _of_samples(
        self, generated: Mapping[Probe, Entry], matched: Mapping[Probe, Entry]
    ) -> dict[str, list[pa.Table]]:
        """Parts of the tables ``generations``, ``samples`` and ``matches``."""
        prompt_stats = await self._comparisons.prompt_stats()
        tables: dict[str, list[pa.Table]] = {"generations": [], "samples": [], "matches": []}
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
            "judge": parses,
        }

    async def _match(self, models: Mapping[Key, TrainedModel], generated: Mapping[Probe, Entry]) -> dict[Probe, Entry]:
        """Every answer against the lines of all organizations."""
        pieces: dict[Probe, BatchedTask] = {}
        for (model, name), entry in generated.items():
            recipe = match_recipe(self._context, entry.key, self._settings, self._comparisons.references)
            came = (Transfer.from_json(row) for row in entry.info.get("crossings", ()))
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


def _store_generations(parts: list[pa.Table]) -> dict[str, pa.Table]:
    return {"generations": pa.concat_tables(parts).drop_columns(list(WORK_SCHEMA.names))}


def _store_matches(parts: list[pa.Table]) -> dict[str, pa.Table]:
    (part,) = parts
    return {name: table_of(part[name][0].as_py()) for name in ("samples", "matches")}
