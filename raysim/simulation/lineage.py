"""What a model has seen on its way: tokens and budgets, added up from stage to stage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raysim.core.keys import Key


class Increased(Mapping[str, int]):
    """Counts that are those of another mapping but for what was added: clients of a round share all others.

    Args:
        before: whose counts they are; it is shared, and must not change.
        added: to it, by name.
    """

    def __init__(self, before: Mapping[str, int], added: Mapping[str, int]) -> None:
        self.before = before
        self.added = dict(added)

    def __getitem__(self, name: str) -> int:
        if name not in self.added:
            return self.before[name]
        return self.before.get(name, 0) + self.added[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.before
        yield from (name for name in self.added if name not in self.before)

    def __len__(self) -> int:
        return len(self.before) + sum(name not in self.before for name in self.added)


@dataclass(frozen=True)
class Lineage:
    """The history of one model.

    Attributes:
        parents: keys that it was made from.
        tokens_seen: training tokens by organization, repetitions included.
        steps: optimizer steps, those of all clients of a round added up, as their tokens are.
        learning_rate_sum: sum of the learning rates of those steps.
        steps_in_sequence: optimizer steps one after the other: of a round those of the client that made most.
        steps_without_dropout: of `steps`, those that had none although the model has.
    """

    parents: tuple[Key, ...] = ()
    tokens_seen: Mapping[str, int] = field(default_factory=dict)
    steps: int = 0
    learning_rate_sum: float = 0.0
    steps_in_sequence: int = 0
    steps_without_dropout: int = 0

    @property
    def dropout_share(self) -> float:
        """Share of the steps that had the model's dropout; 1 where it was never trained."""
        return 1 - self.steps_without_dropout / self.steps if self.steps else 1.0

    def trained(self, parent: Key, tokens: Mapping[str, int], metrics: Mapping[str, Any]) -> "Lineage":
        """After a stage that showed `tokens` of each organization."""
        before = self.tokens_seen
        steps = int(metrics["steps"])
        return Lineage(
            parents=(parent,),
            tokens_seen=Increased(dict(before) if isinstance(before, Increased) else before, tokens),
            steps=self.steps + steps,
            steps_in_sequence=self.steps_in_sequence + steps,
            learning_rate_sum=self.learning_rate_sum + metrics["learning_rate_sum"],
            steps_without_dropout=self.steps_without_dropout + int(metrics.get("steps_without_dropout", 0)),
        )

    def aggregated(self, parents: Sequence[Key], clients: Sequence["Lineage"]) -> "Lineage":
        """After an aggregation of `clients`, all of which started from this model."""
        seen = dict(self.tokens_seen)
        for client in clients:
            for name, count in _added(self.tokens_seen, client.tokens_seen).items():
                seen[name] = seen.get(name, 0) + count
        rates = (client.learning_rate_sum - self.learning_rate_sum for client in clients)
        return Lineage(
            parents=tuple(parents),
            tokens_seen=seen,
            steps=self.steps + sum(client.steps - self.steps for client in clients),
            steps_in_sequence=max((client.steps_in_sequence for client in clients), default=self.steps_in_sequence),
            learning_rate_sum=self.learning_rate_sum + sum(rates),
            steps_without_dropout=self.steps_without_dropout
            + sum(client.steps_without_dropout - self.steps_without_dropout for client in clients),
        )


def _added(before: Mapping[str, int], after: Mapping[str, int]) -> Mapping[str, int]:
    """What `after` has more than `before`; what they share is not looked at."""
    if isinstance(after, Increased) and after.before is before:
        return after.added
    return {name: count - before.get(name, 0) for name, count in after.items()}
