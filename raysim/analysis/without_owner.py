"""The models without an organization that those of a setting are held against: what they are, and which there are.

Of centralized and federated settings they come from ``leave_one_out: true``; of single ones the models of the others
are; of incremental ones the tree of orders has them on its way: the same order without the owner is the beginning of
another order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from raysim.analysis.reached_models import ReachedModel

Course = tuple[str, ...]
"""What a model was trained on: organizations one after the other, or together in the order of the experiment."""

SAME_WITHOUT = "the same without it"
OTHER_ORDERS = "other orders of the same without it"
OTHERS_ALONE = "the others' own models"
OTHER_MODELS = "other models of the setting without it"
OTHER_SETTINGS = "other settings without it"

LINES = {
    "single": "organizations: two or more",
    "centralized": "strategies: [{centralized: {leave_one_out: true}}]",
    "federated": "strategies: [{fedavg: {leave_one_out: true}}]",
    "incremental": "strategies: [{incremental: {orders: all}}], measure: {memorization: {when: every_stage}}",
}
"""By family, the line of an experiment that adds a model without an owner."""


@dataclass(frozen=True)
class ModelsWithout:
    """Models without an owner, of one seed.

    Attributes:
        models: each once.
        kind: which these are; '' for none.
    """

    models: Sequence[ReachedModel] = field(default_factory=list)
    kind: str = ""


def course_of(reached: ReachedModel) -> Course:
    """What a model was trained on, in the order in which it was."""
    return reached.members[: reached.index] if reached.family == "incremental" else reached.members


def stages_since(reached: ReachedModel, owner: str) -> int | None:
    """Stages that came after the one of `owner`; None for settings without stages, and for one that had none."""
    course = course_of(reached)
    if reached.family != "incremental" or owner not in course:
        return None
    return len(course) - 1 - course.index(owner)


def references_of(reached: ReachedModel, owner: str, measured: Iterable[ReachedModel]) -> ModelsWithout:
    """The models of the same seed that were never trained on `owner` and are nearest to `reached` otherwise.

    For a model that was not trained on `owner` either, these are other models without it, at the same moment: the
    true effect is then none, and what is found says how much chance does.

    Args:
        reached: the model that is held against them.
        owner: an organization.
        measured: all models that were probed.
    """
    others = [m for m in measured if m.seed == reached.seed and owner not in m.organizations]
    others = [m for m in others if m.model != reached.model]
    setting = [m for m in others if (m.strategy, m.arm) == (reached.strategy, reached.arm)]
    ladder = (
        _with_owner(reached, owner, setting) if owner in reached.organizations else _placebo(reached, setting, others)
    )
    for kind, models in ladder:
        if models:
            return ModelsWithout(list({m.model: m for m in models}.values()), kind)
    return ModelsWithout()


def _with_owner(
    reached: ReachedModel, owner: str, setting: Sequence[ReachedModel]
) -> list[tuple[str, list[ReachedModel]]]:
    """What a model that was trained on `owner` is held against, the best first."""
    if reached.family == "single":
        return [(OTHERS_ALONE, _at_its_moment(reached, setting))]
    rest = tuple(name for name in course_of(reached) if name != owner)
    if reached.family == "incremental":
        begun = [m for m in setting if m.moment in ("stage", "initial")]
        same = [m for m in begun if course_of(m) == rest]
        return [(SAME_WITHOUT, same), (OTHER_ORDERS, [m for m in begun if sorted(course_of(m)) == sorted(rest)])]
    same = [m for m in _at_its_moment(reached, setting) if set(course_of(m)) == set(rest)]
    if reached.family == "personalized":  # for the same organization, unless it is the owner itself
        same = [m for m in same if m.last == reached.last] or same
    return [(SAME_WITHOUT, same)]


def _placebo(
    reached: ReachedModel, setting: Sequence[ReachedModel], others: Sequence[ReachedModel]
) -> list[tuple[str, list[ReachedModel]]]:
    """What a model that was not trained on the owner is held against, the best first."""
    elsewhere = [m for m in others if m.final and m.strategy != reached.strategy and m.organizations]
    return [(OTHER_MODELS, _at_its_moment(reached, setting)), (OTHER_SETTINGS, elsewhere)]


def _at_its_moment(reached: ReachedModel, models: Iterable[ReachedModel]) -> list[ReachedModel]:
    return [m for m in models if (m.moment, m.index) == (reached.moment, reached.index)]
