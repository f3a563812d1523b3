"""A stage of training, worked out once: its recipe and key, and how much it trains on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysim.core.keys import Key
from raysim.simulation.strategy import TrainInstruction


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of training at one seed; `raysim.simulation.run_context.RunContext.stage` makes it.

    Attributes:
        instruction: what a strategy asks for.
        recipe: everything that the stage is a function of.
        key: of `recipe`; names the stage and the weights that it ends with.
        sequences: packed sequences that it trains on, by organization, those that are replayed behind the others.
        tokens_seen: tokens that it trains on, repetitions included, by organization.
    """

    instruction: TrainInstruction
    recipe: Mapping[str, Any]
    key: Key
    sequences: Mapping[str, int]
    tokens_seen: Mapping[str, int]

    @property
    def num_sequences(self) -> int:
        """Packed sequences of all organizations."""
        return sum(self.sequences.values())

    @property
    def own_sequences(self) -> int:
        """Packed sequences of the organizations that train it: without those that are replayed."""
        return sum(self.sequences[name] for name in self.instruction.organizations)

    @property
    def tokens(self) -> int:
        """Tokens that it trains on."""
        return sum(self.tokens_seen.values())


def share_of(share: float, count: int) -> int:
    """A share of `count` sequences, rounded up, at least one.

    Rounded to nine places first: in binary, 0.07 * 100 is a little over 7.
    """
    return max(1, math.ceil(round(share * count, 9)))
