"""How a model is asked for text: the settings that every generation has, and which of them decide its numbers."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

GENERATION_VERSION = 4
"""Numerics version: raised whenever the same recipe would give other samples."""

Precision = Literal["fp32", "bf16"]
Numerics = Literal["fp32", "bf16", "bf16 in fp32"]
"""What a precision comes to on a processor: see `raysim.inference.numerics`."""

STOP_STRINGS = ("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif")
"""Where a function certainly ends, as in Chen & Jiang (ASE 2024, arXiv 2409.12020)."""

CLEAN_UP_SPACES = (
    "whether generated text loses blanks before punctuation, as where transformers decodes with"
    " clean_up_tokenization_spaces: `a != b` becomes `a!= b`"
)
"""What the setting of that name does."""


@dataclass(frozen=True)
class Scheme:
    """How tokens are drawn; see `raysim.measures.memorization.settings.MemorizationSettings`."""

    temperature: float
    top_p: float
    repetition_penalty: float


class Sampling(Protocol):
    """What `raysim.inference.engine.Generator` needs to know of the settings of a measure that has models generate."""

    @property
    def samples(self) -> int: ...

    @property
    def new_tokens(self) -> int: ...

    @property
    def temperature(self) -> float: ...

    @property
    def top_p(self) -> float: ...

    @property
    def repetition_penalty(self) -> float: ...

    @property
    def stop(self) -> tuple[str, ...]: ...

    @property
    def clean_up_spaces(self) -> bool: ...

    @property
    def batch_size(self) -> int: ...


def sampling_recipe(sampling: Sampling, numerics: Numerics) -> dict[str, Any]:
    """Everything that decides how a model continues given prompts."""
    return {
        "version": GENERATION_VERSION,
        "samples": sampling.samples,
        "new_tokens": sampling.new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
        "stop": list(sampling.stop),
        "batch_size": sampling.batch_size,
        "precision": numerics,
        **({"clean_up_spaces": True} if sampling.clean_up_spaces else {}),
    }
