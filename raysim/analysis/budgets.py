"""Budgets: what each setting has spent, so that nobody compares ten epochs with one unawares."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from raysim.analysis.reached_models import IN_TURN, OWN, ReachedModel, finals

SAME_TOKENS = 0.05
"""Exposures within 5 % count as equal: packing leaves tails of different length, batches are not always full."""
SAME_RATE = 0.10
"""Mean learning rates within 10 % count as equal: warm-ups of different length shift them by a few per cent."""

SAME_LOSS = 0.02
"""Training losses within 0.02 nats count as equal: a difference of 2 % in perplexity."""

TrainingLoss = Callable[[ReachedModel], float | None]
"""Nats a token of a model on training text that it has seen; None: not measured."""


@dataclass(frozen=True)
class Budget:
    """What one setting has spent, averaged over its orders and seeds.

    Attributes:
        tokens_seen: of each organization, averaged over the models that have seen its data.
        tokens: of all organizations together.
        steps: optimizer steps, summed over clients.
        steps_in_sequence: one after the other; the clients of a round count once.
        learning_rate_sum: summed over the steps.
        training_loss: nats a token of the models themselves on training text; None: not measured.
    """

    strategy: str
    order: str
    family: str
    tokens_seen: dict[str, float]
    tokens: float
    steps: float
    steps_in_sequence: float
    learning_rate_sum: float
    dropout: float
    parameters: int
    training_loss: float | None = None

    @property
    def mean_rate(self) -> float:
        return self.learning_rate_sum / self.steps if self.steps else 0.0

    @property
    def label(self) -> str:
        return f"{self.strategy} ({self.order})" if self.family in OWN else self.strategy


def budgets(models: Iterable[ReachedModel], training_loss: TrainingLoss | None = None) -> list[Budget]:
    """The budgets of the settings' final models: those of one organization by it, the others by label and members."""
    groups: dict[tuple[str, str], list[ReachedModel]] = {}
    for reached in finals(models):
        members = " + ".join(sorted(reached.organizations)) if reached.family in IN_TURN else reached.order
        groups.setdefault((reached.strategy, members), []).append(reached)
    return [mean_budget(order, group, training_loss) for (_, order), group in groups.items()]


def difference(budget: Budget, other: Budget) -> list[str]:
    """In which respects `budget` is another than `other`; exposures only of organizations that both have seen."""
    found: list[str] = []
    for organization, tokens in budget.tokens_seen.items():
        reference = other.tokens_seen.get(organization, 0)
        if reference and tokens and abs(tokens / reference - 1) > SAME_TOKENS:
            found.append(f"{tokens / reference:.2f} times the tokens of {organization}")
    if budget.tokens and other.tokens and budget.steps and other.steps:
        ratio = (budget.steps / budget.tokens) / (other.steps / other.tokens)
        if abs(ratio - 1) > SAME_RATE:
            found.append(f"{ratio:.2f} times the steps a token")
    if other.mean_rate and budget.mean_rate and abs(budget.mean_rate / other.mean_rate - 1) > SAME_RATE:
        found.append(f"{budget.mean_rate / other.mean_rate:.2f} times the mean learning rate")
    if abs(budget.dropout - other.dropout) > 1e-9:
        found.append(f"dropout {budget.dropout:g} instead of {other.dropout:g}")
    return found


def compare(models: list[ReachedModel], others: list[ReachedModel], training_loss: TrainingLoss) -> str:
    """One sentence on the budgets of two groups of models, for the note of a contrast."""
    if not models or not others:
        return ""
    budget, other = mean_budget("", models, training_loss), mean_budget("", others, training_loss)
    found = difference(budget, other)
    if not found and other.tokens and abs(budget.tokens / other.tokens - 1) > SAME_TOKENS:
        found.append(f"{budget.tokens / other.tokens:.2f} times the tokens in all, as many of each organization")
    for what, one, reference, same in (
        ("steps in sequence", budget.steps_in_sequence, other.steps_in_sequence, SAME_TOKENS),
        ("sum of learning rates", budget.learning_rate_sum, other.learning_rate_sum, SAME_RATE),
    ):
        if one and reference and abs(one / reference - 1) > same:
            found.append(f"{one / reference:.2f} times the {what}")
    losses = budget.training_loss, other.training_loss
    if None not in losses and not abs((losses[0] or 0.0) - (losses[1] or 0.0)) <= SAME_LOSS:
        found.append(f"training loss {losses[0]:.2f} against {losses[1]:.2f} nats")
    if found:
        return f"budgets differ: {', '.join(found)}"
    return "equal budgets" if None not in losses else "equal exposures, steps and rates; training losses not measured"


def warnings(models: list[ReachedModel]) -> list[str]:
    """A sentence for each setting whose budget differs from the reference beyond what the setting requires.

    A setting requires its own number of steps in all, never another number of passes over an organization's data,
    another batch size, mean learning rate or dropout. The reference is centralized training, else the first setting.
    What unlearns is no other way of training.
    """
    spent = [one for one in budgets(models) if one.family != "unlearned"]
    if len(spent) < 2:
        return []
    widest = max(len(b.tokens_seen) for b in spent)
    complete = [b for b in spent if len(b.tokens_seen) == widest]
    reference = next((b for b in complete if b.family == "centralized"), complete[0])
    found = [(b.label, difference(b, reference)) for b in spent if b is not reference]
    return [f"{label} has {', '.join(what)} compared with {reference.label}" for label, what in found if what]


def mean_budget(order: str, group: Sequence[ReachedModel], training_loss: TrainingLoss | None) -> Budget:
    """What these models have spent on average; there is at least one. Training loss: where all of them have one."""
    first = group[0]
    losses = [training_loss(m) if training_loss else None for m in group]
    known = [loss for loss in losses if loss is not None]
    seen: dict[str, list[int]] = {}
    for reached in group:
        for organization, tokens in reached.tokens_seen.items():
            if tokens:
                seen.setdefault(organization, []).append(tokens)
    return Budget(
        strategy=first.strategy,
        order=order,
        family=first.family,
        tokens_seen={organization: sum(tokens) / len(tokens) for organization, tokens in sorted(seen.items())},
        tokens=sum(m.tokens for m in group) / len(group),
        steps=sum(m.steps for m in group) / len(group),
        steps_in_sequence=sum(m.steps_in_sequence for m in group) / len(group),
        learning_rate_sum=sum(m.learning_rate_sum for m in group) / len(group),
        dropout=sum(m.dropout for m in group) / len(group),
        parameters=first.parameters,
        training_loss=sum(known) / len(known) if len(known) == len(losses) else None,
    )
