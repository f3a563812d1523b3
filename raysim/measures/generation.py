"""Having models generate, for whichever measure asks: the step of a batch job, and the job."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from raysim.corpus.languages import language_of
from raysim.inference.numerics import numerics_of
from raysim.inference.settings import Numerics, Precision, Sampling
from raysim.simulation.run_context import RunContext
from raysim.tasks.batch_jobs import WORK_SCHEMA, BatchJob
from raysim.tasks.ray_data import fetch
from raysim.training.libraries import load_transformers
from raysim.training.process_memory import oom_hint

if TYPE_CHECKING:
    from raysim.inference.output_filter import OutputFilter
    from raysim.organizations.organization import ModelSpec


class GenerateStep:
    """Answers prompts. A worker acts for the organization whose prompts it is given.

    Args:
        spec: of the model.
        tokenizer: of the run, or a reference to it.
        settings: of sampling.
        numerics: in which numbers the model computes.
        threads: of a worker.
        seeds: behind every sample, by model key: that of its run.
        weights: flat weights by model key, or references to them, each fetched when its work comes.
        prompts: by organization the batches of its prompts, or references to them; columns:
            `raysim.measures.memorization.prompts.PROMPT_SCHEMA`.
        judge: says of a Python function's prompt with its continuation whether it parses; None: that is not asked.
        section: of the experiment that `settings` come from.
        filter_by: an output filter, still without owners; None: there is none.
        filters: of each owner, or references to them.
    """

    def __init__(
        self,
        spec: "ModelSpec",
        tokenizer: Any,
        settings: Sampling,
        numerics: Numerics,
        threads: int,
        seeds: Mapping[str, int],
        weights: Mapping[str, Any],
        prompts: Mapping[str, list[pa.Table]],
        judge: Callable[[str], bool] | None,
        section: str = "measure.memorization",
        filter_by: "OutputFilter | None" = None,
        filters: Mapping[str, Any] | None = None,
    ) -> None:
        load_transformers()
        from raysim.inference.engine import Generator
        from raysim.training.models import build_model

        model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context)
        if filter_by:
            filter_by = replace(filter_by, owners={name: fetch(one) for name, one in (filters or {}).items()})
        self._generator = Generator(model, fetch(tokenizer), settings, threads, "cpu", numerics, filter_by)
        self._seeds = seeds
        self._weights = weights
        self._prompts = prompts
        self._judge = judge
        self._section = section
        self._loaded: str | None = None

    def __call__(self, work: pa.Table) -> pa.Table:
        """Work of `WORK_SCHEMA` to generations with the columns of the work before them and ``parses`` behind."""
        tables = []
        for row in work.to_pylist():
            prompts = fetch(self._prompts[row["organization"]])[row["batch"]]
            weights = None if self._loaded == row["model"] else fetch(self._weights[row["model"]])
            with oom_hint(f"{self._section}.batch_size"):
                answers = self._generator.generate(weights, prompts, self._seeds[row["model"]])
            self._loaded = row["model"]
            answers = answers.append_column("parses", pa.array(self._parses(prompts, answers), pa.bool_()))
            for position, name in enumerate(WORK_SCHEMA.names):
                column = pa.array([row[name]] * len(answers), WORK_SCHEMA.field(name).type)
                answers = answers.add_column(position, name, column)
            tables.append(answers)
        return pa.concat_tables(tables)

    def _parses(self, prompts: pa.Table, answers: pa.Table) -> list[bool | None]:
        """For functions whether prompt and continuation parse; null for prompts that begin and end anywhere.

        So it is of functions in other languages than Python, which nobody parses here.
        """
        files = prompts["file"].to_pylist() if "file" in prompts.column_names else [""] * len(prompts)
        asked = {
            prompt: kind != "prefix" and language_of(path) == "python"
            for prompt, kind, path in zip(
                prompts["prompt"].to_pylist(), prompts["kind"].to_pylist(), files, strict=True
            )
        }
        texts = dict(zip(prompts["prompt"].to_pylist(), prompts["text"].to_pylist(), strict=True))
        verdicts: list[bool | None] = []
        for answer in answers.select(["prompt", "text"]).to_pylist():
            prompt = answer["prompt"]
            whole = texts[prompt] + answer["text"]
            verdicts.append(self._judge(whole) if self._judge and asked[prompt] else None)
        return verdicts


def generation_job(
    arguments: Callable[[], Awaitable[dict[str, Any]]],
    tables: Callable[[list[pa.Table]], dict[str, pa.Table]],
    light: bool = False,
) -> BatchJob:
    """How models are asked for text: a part of a piece is a batch of its prompts. Arguments are those of `BatchJob`."""
    return BatchJob(
        step=GenerateStep,
        arguments=arguments,
        work=lambda probe, part: pa.Table.from_pylist(
            [{"model": probe[0], "organization": probe[1], "batch": part}], schema=WORK_SCHEMA
        ),
        part=lambda answer: answer["batch"][0].as_py(),
        tables=tables,
        light=light,
    )


class PrecisionSettings(Protocol):
    """Settings of a measure that has models generate, in a precision of its own or the trainer's."""

    @property
    def precision(self) -> Precision | None: ...


def numerics(context: RunContext, settings: PrecisionSettings) -> Numerics:
    """In which numbers models answer: the same on all nodes, whatever their processors."""
    return numerics_of(settings.precision or context.trainer.precision, context.bf16)


_JOB_WEIGHTS_BYTES = 1 << 30
"""Weights that one job of the pipeline holds in memory at once."""


def models_per_job(num_parameters: int) -> int:
    """How many models' float32 weights one job of the pipeline holds."""
    return max(1, _JOB_WEIGHTS_BYTES // (4 * num_parameters))
