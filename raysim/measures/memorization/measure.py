"""Memorization as a measure: whose training code models give away, prompted with it, and what they recite."""

from collections.abc import Iterable
from dataclasses import replace

from raysim.measures.base import (
    ClientTask,
    EvalContext,
    GenerationLoad,
    GenerationMeasure,
    Measure,
    MeasureScope,
    PlannedEvaluation,
)
from raysim.measures.generation import numerics
from raysim.measures.memorization.extraction import extract_at
from raysim.measures.memorization.neutral import check_neutral, neutral_fingerprint
from raysim.measures.memorization.recipes import extraction_recipe, generation_recipe, neutral_generation_recipe
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.memorization.uploads import upload_tasks
from raysim.simulation.strategy import ModelCheckpoint
from raysim.tables.schemas.corpora import CLONES, HELD_OUT_COPIES
from raysim.tables.schemas.extraction import EXTRACTION
from raysim.tables.schemas.generations import FILTER_BLOCKS, GENERATIONS, MATCHES, PROMPTS, SAMPLES, STUDY_COUNTS
from raysim.tables.schemas.overlap import COPIES, EMISSIONS
from raysim.tables.schemas.renamed import RENAMED, RENAMED_CHANCE
from raysim.tables.schemas.uploads import UPLOADS
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.kinds import WorkKind


class Memorization(Measure):
    """Whose training code models write when they are prompted with training code."""

    name = "memorization"
    Settings = MemorizationSettings
    example = """\
memorization:
  prompts: {function: 20, prefix: 16}     # for each organization
  samples: 3
  new_tokens: 128
  min_lines: 6             # consecutive lines that count as a match
  when: final              # or every_stage, every_round, every_epoch
  # renamed: {}            # count copies under other names, too
  # extraction: {}         # have models recite passages of training sequences, too"""
    kinds = (
        # A generated token costs one pass, at about half the speed of a batch.
        WorkKind("generate", "generate", "generating", 2.0, flop_per_parameter=4, token_s=6e-5, piece_s=0.04),
        # Extraction reads most of its tokens and generates the others.
        WorkKind("extract", "recite", "reciting", 1.5, flop_per_parameter=3, token_s=4e-5, piece_s=0.02),
        *map(WorkKind, ("match", "prompts", "copies", "clones", "held_out_copies", "emissions", "study_counts")),
        *map(WorkKind, ("renamed", "renamed_chance", "filter_blocks")),
    )
    tables = (
        *(PROMPTS, COPIES, GENERATIONS, SAMPLES, STUDY_COUNTS, MATCHES, EMISSIONS, UPLOADS, EXTRACTION),
        *(CLONES, HELD_OUT_COPIES, RENAMED, RENAMED_CHANCE, FILTER_BLOCKS),
    )
    report = (
        "raysim.report.sections.owners:section",
        "raysim.report.sections.study_counts:section",
        "raysim.report.sections.renamed:section",
        "raysim.report.sections.output_filter:section",
        "raysim.report.sections.uploads:section",
        "raysim.report.sections.extraction:section",
        "raysim.report.sections.clones:section",
        "raysim.report.sections.predictions:section",
    )

    def check(self, scope: MeasureScope) -> None:
        if self.settings.prompts.planted and scope.plants is None:
            raise ValueError("memorization.prompts.planted: there are no planted functions; add plants: {}")
        if scope.domain == "text" and self.settings.asks_functions:
            raise ValueError(
                "memorization.prompts: prose (preparation.domain: text) has no functions; ask for prefix alone, and for"
                " held_out and neutral ones with held_out_prompts: prefix"
            )
        if scope.domain == "text" and self.settings.renamed:
            raise ValueError("memorization.renamed: prose (preparation.domain: text) has no names; leave it out")
        extraction, length = self.settings.extraction, scope.trainer.sequence_length
        if extraction and extraction.longest > length:
            raise ValueError(
                f"memorization.extraction: a prefix of {extraction.prefix_tokens[-1]} tokens and a suffix of"
                f" {extraction.suffix_tokens} do not fit into a training sequence of {length};"
                " set shorter prefix_tokens or suffix_tokens, or a longer trainer.sequence_length"
            )

    def prepare(self, context: EvalContext) -> None:
        if self.settings.prompts.neutral:
            check_neutral(context)

    @property
    def context_tokens(self) -> int:
        """A prefix prompt and its continuation."""
        longest = self.settings.longest_prefix
        return longest + self.settings.new_tokens if longest else 0

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        run, settings = context.run, self.settings
        if checkpoint.moment == "upload":
            # As soon as it is there, so that its weights may go.
            for task in upload_tasks(context, checkpoint.model, checkpoint.last):
                yield replace(task, shown=False)
            return
        if settings.extraction is None:
            return
        for name in context.organizations:
            recipe = extraction_recipe(run, checkpoint.model, name, settings)
            arguments = (run.spec, settings, run.split_seed, run.trainer.threads)
            yield ClientTask("extraction", name, "passages", recipe, extract_at, arguments, settings.extraction.tokens)

    def wants(self, checkpoint: ModelCheckpoint) -> bool:
        if checkpoint.moment == "upload":
            return self.settings.uploads == "every_round" or (bool(self.settings.uploads) and checkpoint.final)
        return super().wants(checkpoint)

    def generations(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[PlannedEvaluation]:
        settings, model, upload = self.settings, checkpoint.model, checkpoint.moment == "upload"
        a_prompt = settings.samples * settings.new_tokens
        for name in [checkpoint.last] if upload else context.organizations:
            if settings.owned_prompts:
                recipe = generation_recipe(context.run, model, name, settings)
                yield PlannedEvaluation(recipe, settings.owned_prompts * a_prompt, batched=True)
        if (number := settings.prompts.neutral) and not upload:
            neutral = neutral_fingerprint(context.held_out_references, settings.held_out_prompts == "function")
            recipe = neutral_generation_recipe(context.run, model, neutral, settings)
            yield PlannedEvaluation(recipe, number * a_prompt, batched=True)

    def generation_load(self, context: EvalContext) -> GenerationLoad | None:
        settings, run = self.settings, context.run
        longest = settings.longest_prefix
        if settings.asks_functions:
            # A function prompt leaves room for the whole continuation.
            longest = max(longest, min(settings.function_tokens, run.spec.context - settings.new_tokens))
        if longest <= 0:
            return None
        section, prompts = "measure.memorization", sum(dict(settings.prompts).values())
        return GenerationLoad(section, settings, numerics(run, settings), prompts, longest)

    def generation(
        self, context: EvalContext, executor: TaskExecutor, workers: int, secret: bytes
    ) -> GenerationMeasure:
        from raysim.measures.memorization.pipeline import MemorizationMeasure

        return MemorizationMeasure(context, executor, self.settings, workers, secret)
