"""What to measure of memorization, and which part of it each kind of work depends on."""

from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from raysim.core.keys import versions_of
from raysim.core.settings import Settings
from raysim.corpus.lines import LineRules
from raysim.corpus.packing import PACKING_VERSION
from raysim.inference.settings import (
    CLEAN_UP_SPACES,
    STOP_STRINGS,
    Numerics,
    Precision,
    Scheme,
    sampling_recipe,
)
from raysim.measures.when import CheckpointKinds, named

PROMPTS_VERSION = 1
PROMPT_FACTS_VERSION = 2
MATCHING_VERSION = 1
ATTRIBUTION_VERSION = 2
EXTRACTION_VERSION = 1
OUTPUT_FILTER_VERSION = 1
FILTER_BLOCKS_VERSION = 1
"""Numerics versions: raised whenever the same recipe would give other numbers."""


class PromptCounts(Settings):
    """Prompts of each kind, for each organization."""

    function: int = Field(default=0, ge=0, description="signature and docstring of training functions, as in the study")
    prefix: int = Field(default=0, ge=0, description="the first tokens of packed training sequences")
    planted: int = Field(default=0, ge=0, description="signatures of planted functions, see `plants`")
    held_out: int = Field(default=0, ge=0, description="functions of the validation split without a copy in training")
    neutral: int = Field(
        default=0,
        ge=0,
        description="functions of held-out references, which not even a base is trained on; not for each organization",
    )

    @pydantic.model_validator(mode="after")
    def _at_least_one(self) -> "PromptCounts":
        if not any(count for _, count in self):
            raise ValueError(f"asks for no prompt; set at least one of {', '.join(dict(self))} above zero")
        return self

    def of_organizations(self) -> dict[str, int]:
        """How many of each kind an organization is asked for; without planted ones where none is asked for."""
        unasked = {"neutral"} if self.planted else {"neutral", "planted"}
        return self.model_dump(exclude=unasked)


class ExtractionSettings(Settings):
    """Whether models recite passages of training sequences; off unless this section is there."""

    passages: int = Field(default=32, ge=1, description="for each organization, at most one of a training sequence")
    prefix_tokens: tuple[int, ...] = Field(
        default=(32, 50, 100), min_length=1, description="tokens before the suffix that a model is shown"
    )
    place: Literal["start", "anywhere"] = Field(
        default="start",
        description="start: prefixes begin where a training sequence does, as models saw them; anywhere: at any token",
    )
    suffix_tokens: int = Field(default=50, ge=1, description="tokens that it is to recite")
    batch_size: int = Field(default=32, ge=1, description="passages at once; part of the recipe, as sums round by it")

    @pydantic.field_validator("prefix_tokens")
    @classmethod
    def _rising(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if min(lengths) < 1 or len(set(lengths)) < len(lengths):
            raise ValueError("use different lengths of at least 1")
        return tuple(sorted(lengths))

    @property
    def longest(self) -> int:
        """Tokens of a passage: the longest prefix and the suffix."""
        return self.prefix_tokens[-1] + self.suffix_tokens

    @property
    def tokens(self) -> int:
        """Tokens that go through a model for one organization, at most.

        Every prefix is read with its true suffix, and once more to be gone on with if the model errs.
        """
        return 2 * self.passages * sum(length + self.suffix_tokens for length in self.prefix_tokens)


class OutputFilterSettings(Settings):
    """What models may not repeat of training splits; off unless this section is there."""

    lines: int = Field(
        default=6, ge=1, description="consecutive significant lines of an owner that no continuation repeats"
    )
    action: Literal["stop", "resample"] = Field(
        default="stop",
        description="stop: a sample ends before the line that would complete them; resample: it is drawn anew from the"
        " start of that line, and ends there if the last attempt is blocked as well",
    )
    attempts: int = Field(default=3, ge=1, le=100, description="of `resample`, for each sample")
    false_positive_rate: float = Field(
        default=1e-6, gt=0, le=0.5, description="of windows that nobody has, the share that is blocked all the same"
    )
    window_in_prompt: bool = Field(
        default=False, description="whether the lines may begin in the prompt; else all of them are the model's"
    )

    def recipe(self) -> dict[str, Any]:
        """What decides which windows are blocked, and what follows, but for the training splits."""
        found = {**self.model_dump(mode="json"), "version": OUTPUT_FILTER_VERSION}
        return found if self.action == "resample" else {k: v for k, v in found.items() if k != "attempts"}


class StudyCountSettings(Settings):
    """How the study's own counts compare lines."""

    simian: bool = Field(
        default=False, description="by the rules of the study's clone detector: without case, without curly braces"
    )

    @property
    def rules(self) -> LineRules:
        """By which lines are compared."""
        return "simian" if self.simian else "exact"


class RenamedSettings(Settings):
    """Copies under other names and in another layout; off unless this section is there."""

    min_tokens: int = Field(
        default=30,
        ge=2,
        description="consecutive tokens that make a match: names, numbers and strings are taken as equal to others,"
        " comments and white space left out",
    )


class MemorizationSettings(Settings):
    """Prompts, sampling and matching; the defaults are the study's where it is feasible on a laptop."""

    prompts: PromptCounts = Field(description="prompts of each kind, for each organization")
    prefix_tokens: int = Field(default=64, ge=1, description="length of a prefix prompt")
    function_tokens: int = Field(default=512, ge=2, description="longest function prompt, its BOS included")
    samples: int = Field(default=5, ge=1, description="continuations of each prompt")
    new_tokens: int = Field(default=128, ge=1, description="longest continuation")
    temperature: float = Field(default=0.6, ge=0, description="0 takes the likeliest token (greedy)")
    top_p: float = Field(default=0.6, gt=0, le=1, description="nucleus: the likeliest tokens with this much mass")
    repetition_penalty: float = Field(default=1.1, gt=0, description="1 is none")
    min_lines: int = Field(default=6, ge=1, description="consecutive significant lines that make a match")
    window_in_prompt: bool = Field(
        default=False, description="whether a match may begin in the prompt; else all of its lines are the model's"
    )
    held_out_prompts: Literal["function", "prefix"] = Field(
        default="function",
        description="what prompts of the kinds held_out and neutral are: functions, or the first prefix_tokens of"
        " files, beside prompts of the kind prefix; they need stop: [], since a prefix has no stop strings",
    )
    strip_prompts: bool = Field(
        default=False,
        description="whether prompts of functions lose the white space around them, and so the indentation of their"
        " first line, as in the study's scripts; they begin behind the token that begins a file either way",
    )
    clean_up_spaces: bool = Field(default=False, description=CLEAN_UP_SPACES)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=STOP_STRINGS, description="a continuation of a function prompt ends before the first of these"
    )
    when: CheckpointKinds = Field(default=("final",), description="which of a strategy's models are probed")
    uploads: Literal["final", "every_round"] | None = Field(
        default=None,
        description="of which rounds what clients send to the server is probed, with its organization's prompts and"
        " canaries; all clients of a round together cost what one model more does",
    )
    precision: Precision | None = Field(default=None, description="of generation; None: the trainer's")
    batch_size: int = Field(
        default=180,
        ge=1,
        description="rows (prompts times samples) generated together; part of the recipe, as sums round by it",
    )
    extraction: ExtractionSettings | None = Field(
        default=None, description="whether models recite passages of training sequences; unset: not measured"
    )

    renamed: RenamedSettings | None = Field(
        default=None,
        description="whether matches under other names and in another layout are counted, too; unset: they are not",
    )
    output_filter: OutputFilterSettings | None = Field(
        default=None, description="keeps models from repeating lines of training splits; unset: nothing does"
    )

    study_counts: StudyCountSettings = Field(
        default=StudyCountSettings(), description="the study's own counts beside ours, see the table study_counts"
    )

    @pydantic.model_validator(mode="after")
    def _averages_beside_uploads(self) -> "MemorizationSettings":
        if self.uploads == "every_round" and "every_round" not in self.when:
            raise ValueError(
                f"uploads: every_round needs the averages beside them; write when: every_round in place of"
                f" {', '.join(map(named, self.when))}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _held_out_end_as_prefixes(self) -> "MemorizationSettings":
        if self.held_out_prompts == "prefix" and self.stop:
            raise ValueError(
                "held_out_prompts: prefix is to be compared with prefixes, which have no stop strings; write stop: []"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _another_draw_differs(self) -> "MemorizationSettings":
        if self.output_filter and self.output_filter.action == "resample" and self.temperature == 0:
            raise ValueError(
                "output_filter.action: resample would draw the same again at temperature: 0; write action: stop, or a"
                " temperature above 0"
            )
        return self

    @property
    def longest_prefix(self) -> int:
        """Tokens of the prompts that are the beginning of something; 0: there are none."""
        others = self.held_out_prompts == "prefix" and self.prompts.held_out + self.prompts.neutral
        return self.prefix_tokens if self.prompts.prefix or others else 0

    @property
    def asks_functions(self) -> bool:
        """Whether any prompt is the beginning of a function."""
        others = self.held_out_prompts == "function" and self.prompts.held_out + self.prompts.neutral
        return bool(self.prompts.function or self.prompts.planted or others)

    @property
    def scheme(self) -> Scheme:
        """How samples are drawn."""
        return Scheme(self.temperature, self.top_p, self.repetition_penalty)

    @property
    def extraction_scheme(self) -> Scheme:
        """How a passage's suffix would be drawn: without repetition penalty, as (n, p)-discoverable extraction has it.

        A penalty makes the very tokens of a passage unlikely that it repeats (Hayes et al., arXiv 2410.19482, sample by
        temperature and top-k or top-p alone).
        """
        return replace(self.scheme, repetition_penalty=1.0)

    @property
    def owned_prompts(self) -> int:
        """Prompts of one organization: all but the neutral ones."""
        return sum(self.prompts.of_organizations().values())

    def prompt_recipe(self) -> dict[str, Any]:
        """The settings that decide which prompts an organization has.

        `min_lines` is not among them: it only marks prompts as eligible, which `prompts.mark_eligible` does anew.
        """
        return {
            "kind": "prompts",
            "version": PROMPTS_VERSION,
            "packing": PACKING_VERSION,
            # Which files parse, and so which functions there are, is up to the grammar of the running Python.
            "libraries": versions_of("python", "tokenizers", "numpy"),
            "counts": self.prompts.of_organizations(),
            "prefix_tokens": self.prefix_tokens,
            "function_tokens": self.function_tokens,
            "new_tokens": self.new_tokens,  # a function prompt leaves room for the whole continuation
            **({"strip": True} if self.strip_prompts else {}),
            **({"held_out": "prefix"} if self.held_out_prompts == "prefix" else {}),
        }

    def neutral_recipe(self) -> dict[str, Any]:
        """The settings that decide which neutral prompts there are."""
        return {**self.prompt_recipe(), "counts": {"neutral": self.prompts.neutral}}

    def generation_recipe(self, numerics: Numerics) -> dict[str, Any]:
        """The settings that decide what a model answers to given prompts."""
        return {"kind": "generation", **sampling_recipe(self, numerics)}

    def matching_recipe(self) -> dict[str, Any]:
        """The settings that decide which generated lines count as someone's."""
        return {"kind": "matching", "version": MATCHING_VERSION, "min_lines": self.min_lines}

    def extraction_recipe(self) -> dict[str, Any]:
        """The settings that decide which passages there are, and what is measured of them.

        Raises:
            ValueError: extraction is not asked for.
        """
        if self.extraction is None:
            raise ValueError("measure.memorization.extraction is not set")
        return {
            **self.extraction.model_dump(mode="json"),
            "kind": "extract",
            "version": EXTRACTION_VERSION,
            "packing": PACKING_VERSION,
            "scheme": asdict(self.extraction_scheme),
        }
