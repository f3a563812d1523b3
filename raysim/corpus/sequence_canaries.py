"""Sequence canaries: training sequences of random tokens, each put in by a coin of its own.

A sequence is the unit of record-level privacy (`dp_sgd`), and a canary here is one whole sequence: with it or without
it nothing else of the training data changes, as is not so of a canary file, behind which all sequences are cut
elsewhere. So what an attacker can tell of the coins bounds epsilon from below (Steinke, Nasr & Jagielski, NeurIPS 2023,
arXiv 2305.08846). Tokens are drawn apart from the coins.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from raysim.core.keys import seed_of
from raysim.core.settings import Settings

SEQUENCE_CANARIES_VERSION = 1
"""Numerics version of tokens and coins; part of what names the training data."""


class SequenceCanarySettings(Settings):
    """Sequences of random tokens for an audit of record-level privacy, put in or left out by coins."""

    count: int = Field(
        default=200, ge=10, description="of each organization; a fair coin of each puts it into the training sequences"
    )
    organizations: tuple[str, ...] | None = Field(
        default=None, description="whose training sequences they go into; unset: everyone's"
    )

    def planted_in(self, organization: str) -> bool:
        """Whether `organization` is to have any."""
        return self.organizations is None or organization in self.organizations

    def recipe(self) -> dict[str, Any]:
        """What decides which an organization has, beside its name, the split seed, the tokenizer and their length."""
        return {"kind": "sequence canaries", "version": SEQUENCE_CANARIES_VERSION, "count": self.count}


@dataclass(frozen=True)
class SequenceCanaries:
    """Those of one organization.

    Attributes:
        tokens: of each, int32 ``[count, sequence_length]``.
        included: whether its coin put it in, bool ``[count]``.
    """

    tokens: npt.NDArray[np.int32]
    included: npt.NDArray[np.bool_]

    @property
    def planted(self) -> npt.NDArray[np.int32]:
        """Those that are in, int32 ``[included, sequence_length]``."""
        return self.tokens[self.included]


def draw_sequence_canaries(
    settings: SequenceCanarySettings,
    organization: str,
    split_seed: int,
    sequence_length: int,
    vocab_size: int,
    bos_id: int,
) -> SequenceCanaries:
    """The sequence canaries of one organization: tokens uniform over the vocabulary without the BOS, and fair coins.

    Args:
        settings: how many.
        organization: whose they are.
        split_seed: of the experiment.
        sequence_length: tokens of each.
        vocab_size: of the tokenizer.
        bos_id: of the tokenizer, which is in none of them.
    """
    tokens = _generator(split_seed, "tokens", organization).integers(
        vocab_size - 1, size=(settings.count, sequence_length), dtype=np.int32
    )
    tokens += tokens >= bos_id
    return SequenceCanaries(tokens, _generator(split_seed, "coins", organization).random(settings.count) < 0.5)


def _generator(split_seed: int, purpose: str, organization: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed_of(split_seed, f"sequence canaries: {purpose}", organization)))
