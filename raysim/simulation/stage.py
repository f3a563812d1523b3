"""A stage of training, worked out once: its recipe and key, and how much it trains on."""

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
        sequences: packed sequences that it trains on, by organization.
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
    def tokens(self) -> int:
        """Tokens that it trains on."""
        return sum(self.tokens_seen.values())
