"""Has models solve programming problems: generation, execution and checks of the solutions, each a keyed step.

Problems and solutions are nobody's: they stay with the server and its workers. To be held against licensed code,
solutions go to the organizations, and counts by licence come back.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from raysim.core.arrow import table_bytes, with_columns
from raysim.core.keys import Key
from raysim.inference.prompts import prompt_id, split_batches
from raysim.matching.licences import licence_rows
from raysim.measures.base import EvalContext
from raysim.measures.generation import generation_job, models_per_job, numerics
from raysim.measures.parsing import parses
from raysim.measures.pass_at_k.execution import (
    EXECUTE_SCHEMA,
    ExecuteStep,
    count_outcomes,
    distinct_programs,
    programs_of,
)
from raysim.measures.pass_at_k.linting import linting_recipe, patterns
from raysim.measures.pass_at_k.problems import Problem, fingerprint_of_prompts, fingerprint_of_tests
from raysim.measures.pass_at_k.recipes import execution_recipe, licences_recipe, solution_recipe
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.organizations.organization import Organization
from raysim.simulation.executor import TrainedModel
from raysim.store.entries import Entry
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.batch_jobs import WORK_SCHEMA, BatchedTask, BatchedTasks, BatchJob, BatchJobs, Probe, groups
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.ray_data import fetch
from raysim.tasks.task import Task, TaskOutput

SOLVING_TABLES = ("executions", "patterns", "licences")

_KIND = "problem"
_PROGRAMS_A_PART = 64
"""Executed by one worker in one go: a second or two of work, so that many workers share a model's solutions."""


class PassAtKMeasure:
    """Solving of problems in one run; implements `raysim.measures.base.GenerationMeasure`.

    Args:
        context: of the run.
        problems: to solve.
        executor: does keyed work.
        settings: of what to solve.
        workers: of batch jobs.
    """

    def __init__(
        self,
        context: EvalContext,
        problems: Sequence[Problem],
        executor: TaskExecutor,
        settings: PassAtKSettings,
        workers: int,
    ) -> None:
        self._policies = context.policies
        self._tokenizer = context.tokenizer
        self._executor = executor
        self._settings = settings
        self._jobs = BatchJobs(executor, workers)
        self._context = context.run
        self._problems = problems
        self._prompts: dict[str, list[str]] = {}
        self._seeds: dict[Key, int] = {}
        self._batches: list[pa.Table] | None = None

    async def look_up(self, models: Mapping[Key, TrainedModel]) -> BatchedTasks:
        """Every model's solutions, as far as they are in the store."""
        settings = self._settings
        pieces: dict[Probe, BatchedTask] = {}
        num_batches = len(self._make_batches())
        tokens = len(self._prompts) * settings.samples * settings.new_tokens
        prompts = fingerprint_of_prompts(self._problems)
        for model, reached in models.items():
            self._seeds[model] = reached.strategy_run.context.seed
            if num_batches:
                recipe = solution_recipe(reached.strategy_run.context, model, prompts, settings)
                pieces[model, SERVER] = BatchedTask(recipe, f"{reached.name}, problems", tokens, num_batches)
        await self._jobs.look_up(pieces)
        return pieces

    async def generate(self, pieces: BatchedTasks) -> None:
        """Has models give the solutions that are not there yet; after that their weights are not needed here."""
        for group in groups(pieces, self.models_at_once()):
            models = tuple(dict.fromkeys(model for model, _ in group))
            job = generation_job(partial(self._generate_arguments, models), _store_solutions)
            await self._jobs.run(job, {probe: pieces[probe] for probe in group})

    async def tables(
        self, models: Mapping[Key, TrainedModel], reached: Sequence[TrainedModel] = ()
    ) -> dict[str, list[pa.Table]]:
        """Parts of the tables ``executions``, ``patterns`` and ``licences``."""
        del reached
        pieces = await self.look_up(models)
        await self.generate(pieces)
        solutions = {model: piece.finished for (model, _), piece in pieces.items()}
        programs = {model: programs_of(entry.table("solutions"), self._prompts) for model, entry in solutions.items()}
        outcomes = await self._execute(models, solutions, programs)
        tables: dict[str, list[pa.Table]] = {name: [] for name in SOLVING_TABLES}
        for model in models:
            found = count_outcomes(self._problems, self._settings.samples, programs.get(model), outcomes.get(model))
            tables["executions"].append(with_columns(found, model=model))
        checked = await asyncio.gather(
            *(self._check(models[model], entry, programs[model]) for model, entry in solutions.items())
        )
        for one in checked:
            for name, parts in one.items():
                tables[name] += parts
        return tables

    async def compare(self, models: Mapping[Key, TrainedModel], pieces: BatchedTasks) -> None:
        """Nothing: nobody waits for passed tests while models are trained."""

    def models_at_once(self) -> int:
        """How many models one job of the pipeline holds."""
        return models_per_job(self._initial["parameters"])

    @property
    def _initial(self) -> Mapping[str, Any]:
        initial = self._executor.store.peek(self._context.initial_key())
        assert initial is not None, "training came first"
        return initial.info

    def _make_batches(self) -> list[pa.Table]:
        """The prompts that leave room in the model's context, as they are answered together."""
        if self._batches is None:
            tokenizer, context = self._tokenizer, self._initial["context"]
            rows = []
            for problem in self._problems:
                tokens = [tokenizer.bos_id, *tokenizer.encode(problem.prompt)]
                if context is None or len(tokens) < context:
                    prompt = prompt_id(_KIND, tokens)
                    if prompt not in self._prompts:
                        row = {"prompt": prompt, "kind": _KIND, "organization": SERVER}
                        rows.append({**row, "tokens": tokens, "text": problem.prompt})
                    self._prompts.setdefault(prompt, []).append(problem.name)
            self._batches = split_batches(pa.Table.from_pylist(rows), self._settings) if rows else []
        return self._batches

    async def _generate_arguments(self, models: tuple[Key, ...]) -> dict[str, Any]:
        settings, context, backend = self._settings, self._context, self._executor.pool.backend
        return {
            "spec": context.spec,
            "tokenizer": backend.share(self._tokenizer),
            "settings": settings,
            "numerics": numerics(context, settings),
            "threads": context.trainer.threads,
            "seeds": {model: self._seeds[model] for model in models},
            "weights": {model: await self._executor.broadcast(model) for model in models},
            "prompts": {SERVER: backend.share(self._make_batches())},
            "judge": parses,
            "section": "measure.pass_at_k",
        }

    async def _execute(
        self, models: Mapping[Key, TrainedModel], solutions: Mapping[Key, Entry], programs: Mapping[Key, pa.Table]
    ) -> dict[Key, pa.Table]:
        """What comes of each distinct program of every model."""
        tests = fingerprint_of_tests(self._problems)
        work = {model: distinct_programs(table) for model, table in programs.items()}
        pieces: dict[Probe, BatchedTask] = {}
        for model, entry in solutions.items():
            recipe = execution_recipe(entry.key, tests, self._settings)
            num_parts = -(-len(work[model]) // _PROGRAMS_A_PART)
            pieces[model, SERVER] = BatchedTask(recipe, f"{models[model].name}, solutions", 0, num_parts)
        await self._jobs.look_up(pieces)
        pending = {probe: piece for probe, piece in pieces.items() if piece.entry is None}

        def part_of(probe: Probe, part: int) -> pa.Table:
            rows = work[probe[0]].slice(part * _PROGRAMS_A_PART, _PROGRAMS_A_PART)
            named = {"model": probe[0], "organization": probe[1], "batch": part}
            return pa.Table.from_pylist([{**named, **row} for row in rows.to_pylist()], schema=EXECUTE_SCHEMA)

        if pending:
            job = BatchJob(
                step=ExecuteStep,
                arguments=self._execute_arguments,
                work=part_of,
                part=lambda answer: answer["batch"][0].as_py(),
                tables=lambda parts: {"outcomes": pa.concat_tables(parts).drop_columns(list(WORK_SCHEMA.names))},
            )
            await self._jobs.run(job, pending)
        return {model: piece.finished.table("outcomes") for (model, _), piece in pieces.items()}

    async def _execute_arguments(self) -> dict[str, Any]:
        problems = {problem.name: problem for problem in self._problems}
        shared = self._executor.pool.backend.share(problems)
        return {"problems": shared, "limits": self._settings.limits, "fetch": fetch}

    async def _check(self, model: TrainedModel, solutions: Entry, programs: pa.Table) -> dict[str, list[pa.Table]]:
        """Known-bad patterns in a model's solutions, and under which licences they occur in the corpora."""
        prompts = {problem.name: problem.prompt for problem in self._problems}
        texts = Counter(prompts[row["problem"]] + row["completion"] for row in programs.to_pylist())

        async def lint() -> tuple[list[Transfer], dict[str, pa.Table]]:
            return [], {"patterns": await asyncio.to_thread(patterns, texts)}

        key, label = model.checkpoint.model, f"{model.name}, solutions"
        linted = await self._executor.run_on_server(linting_recipe(solutions.key), label, lint)
        found = await asyncio.gather(*(self._hold_against(n, model, solutions, programs) for n in self._names))
        return {"patterns": [with_columns(linted.table("patterns"), model=key)], "licences": list(found)}

    async def _hold_against(self, name: str, model: TrainedModel, solutions: Entry, programs: pa.Table) -> pa.Table:
        completions = programs.select(["completion"])
        entry = await self._executor.run_on_client(
            Task(
                licences_recipe(model.strategy_run.context, name, solutions.key, self._settings),
                f"{model.name}, solutions at {name}",
                name,
                licences_at,
                (completions["completion"].to_pylist(), self._settings.min_lines),
                given=(Transfer.of(SERVER, name, "solutions", table_bytes(completions)),),
            )
        )
        found = with_columns(entry.table("licences"), model=model.checkpoint.model, organization=name)
        agreed = self._policies[name].licences
        known = None if agreed is None else {licence.casefold() for licence in agreed}
        allowed = [None if known is None else licence.casefold() in known for licence in found["licence"].to_pylist()]
        return found.append_column("allowed", pa.array(allowed, pa.bool_()))

    @property
    def _names(self) -> list[str]:
        return list(self._context.client_stats)


def licences_at(organization: Organization, texts: list[str], min_lines: int) -> TaskOutput:
    """Counts, by licence, generated code that occurs in an organization's training split; runs there."""
    return TaskOutput(tables={"licences": licence_rows(texts, organization.corpus.owned, min_lines)})


def _store_solutions(parts: list[pa.Table]) -> dict[str, pa.Table]:
    return {"solutions": pa.concat_tables(parts).drop_columns(list(WORK_SCHEMA.names))}
