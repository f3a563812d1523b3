"""What a model has seen on its way: exposures and budgets, added up from stage to stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raysim.core.keys import Key


@dataclass(frozen=True)
class Lineage:
    """The history of one model.

    Attributes:
        parents: keys that it was made from.
        tokens_seen: training tokens by organization, repetitions included.
        steps: optimizer steps, those of all clients of a round added up, as their tokens are.
        learning_rate_sum: sum of the learning rates of those steps.
    """

    parents: tuple[Key, ...] = ()
    tokens_seen: Mapping[str, int] = field(default_factory=dict)
    steps: int = 0
    learning_rate_sum: float = 0.0

    def trained(self, parent: Key, tokens: Mapping[str, int], metrics: Mapping[str, Any]) -> "Lineage":
        """After a stage that showed `tokens` of each organization."""
        seen = dict(self.tokens_seen)
        for name, count in tokens.items():
            seen[name] = seen.get(name, 0) + count
        return Lineage(
            (parent,), seen, self.steps + int(metrics["steps"]), self.learning_rate_sum + metrics["learning_rate_sum"]
        )

    def aggregated(self, parents: Sequence[Key], clients: Sequence["Lineage"]) -> "Lineage":
        """After an aggregation of `clients`, all of which started from this model."""
        seen = dict(self.tokens_seen)
        for client in clients:
            for name, count in client.tokens_seen.items():
                seen[name] = seen.get(name, 0) + count - self.tokens_seen.get(name, 0)
        return Lineage(
            tuple(parents),
            seen,
            self.steps + sum(client.steps - self.steps for client in clients),
            self.learning_rate_sum + sum(client.learning_rate_sum - self.learning_rate_sum for client in clients),
        )
