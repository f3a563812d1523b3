"""Where two paths of training have fitted their training text equally well, so that what they leak can be compared.

A fitted model leaks more than an unfitted one, whatever the setting. So leakage is compared at equal training loss,
along the whole of both paths and interpolated between the models that were probed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from raysim.analysis.budgets import SAME_LOSS, TrainingLoss
from raysim.analysis.reached_models import ReachedModel


@dataclass(frozen=True)
class PathPoint:
    """A place on a path: between two neighbours, `share` of the way from `before` to `after`; or at a model."""

    before: ReachedModel
    after: ReachedModel
    share: float
    loss: float

    @property
    def where(self) -> str:
        """For people: 'at round 3', 'between epoch 2 and 3'."""
        if self.before.model == self.after.model:
            return f"at {self.after.moment} {self.after.index}"
        return f"between {self.before.moment} {self.before.index} and {self.after.index}"


@dataclass(frozen=True)
class Meeting:
    """A place on each of two paths with equal training loss."""

    ours: PathPoint
    theirs: PathPoint

    @property
    def models(self) -> list[ReachedModel]:
        return [self.ours.before, self.ours.after, self.theirs.before, self.theirs.after]

    @property
    def note(self) -> str:
        ours, theirs = self.ours, self.theirs
        return (
            f"at {ours.loss:.2f} and {theirs.loss:.2f} nats of training loss: {ours.after.strategy} {ours.where},"
            f" {theirs.after.strategy} {theirs.where}"
        )


Losses = list[tuple[ReachedModel, float]]


def meet(ours: Sequence[ReachedModel], theirs: Sequence[ReachedModel], training_loss: TrainingLoss) -> Meeting | str:
    """The pair of places with equal training loss that is nearest to the end of the path that is fitted less.

    A path that passes the loss several times is taken where it does so last.

    Args:
        ours, theirs: models of each path that were probed, in their order; none is empty.
        training_loss: of a model.

    Returns:
        The pair, within 0.02 nats of each other; or why there is none, with what would make one.
    """
    paths = [[(m, loss) for m in path if (loss := training_loss(m)) is not None] for path in (ours, theirs)]
    if not all(paths):
        return ""
    less, more = sorted(paths, key=lambda path: -path[-1][1])
    low, high = min(loss for _, loss in more), max(loss for _, loss in more)
    place = _last_within(less, low - SAME_LOSS, high + SAME_LOSS)
    if place is None:
        return _apart(less, more, high)
    other = _last_at(more, min(max(place.loss, low), high))
    return Meeting(place, other) if less is paths[0] else Meeting(other, place)


def _last_within(path: Losses, low: float, high: float) -> PathPoint | None:
    """The last place of a path whose loss is in a range."""
    end, loss = path[-1]
    if low <= loss <= high:
        return PathPoint(end, end, 1.0, loss)
    for (before, first), (after, last) in reversed(list(pairwise(path))):
        bound = high if last > high else low
        if min(first, last) <= bound <= max(first, last):
            return PathPoint(before, after, (first - bound) / (first - last), bound)
    only, loss = path[0]
    return PathPoint(only, only, 1.0, loss) if low <= loss <= high else None


def _last_at(path: Losses, target: float) -> PathPoint:
    """The last place of a path with a loss that the path passes."""
    for (before, first), (after, last) in reversed(list(pairwise(path))):
        if last == target:
            return PathPoint(after, after, 1.0, target)
        if min(first, last) <= target <= max(first, last):
            return PathPoint(before, after, (first - target) / (first - last), target)
    only, loss = path[0]
    return PathPoint(only, only, 1.0, loss)


def _apart(less: Losses, more: Losses, high: float) -> str:
    (end, loss), (first, _) = less[-1], more[0]
    longer = {"federated": "more rounds", "centralized": "more epochs"}.get(end.family, "more training")
    kind = {"federated": "every_round", "centralized": "every_pooled_epoch"}.get(first.family, "every_epoch")
    as_early = first.moment in ("round", "epoch")  # its first is probed already
    earlier = f", or `measure: {{memorization: {{when: {kind}}}}}` to probe {first.strategy} earlier"
    return (
        f"{end.strategy} ends at {loss:.2f} nats of training loss, {first.strategy} begins at {high:.2f}: {longer} of"
        f" {end.strategy}{'' if as_early else earlier}"
    )
