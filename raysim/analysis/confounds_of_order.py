"""Confounds of F4: what else than being last sets the last organization of an order apart."""

from collections import Counter

from raysim.analysis.arms import is_whole
from raysim.analysis.budgets import SAME_RATE
from raysim.analysis.confound_checks import ArmContrast, Check
from raysim.analysis.reached_models import ReachedModel


def who_came_last(compared: ArmContrast) -> Check:
    """Whether every organization came last in some order."""
    last = {m.last for m in compared.ours}
    missing = [name for name in compared.results.organizations if name not in last]
    return Check("who came last", f"no order ends with {', '.join(missing)}" if missing else "")


def one_order_each(compared: ArmContrast) -> Check:
    """Whether what came before the last organization varies apart from it."""
    about = "orders per last organization"
    seeds = {m.seed for m in compared.ours}
    counts = Counter(m.last for m in compared.ours if m.seed == min(seeds)) if seeds else Counter[str]()
    few = [name for name, count in counts.items() if count == 1]
    if not few or len(compared.results.organizations) < 3:  # of two, what came before is given
        return Check(about)
    return Check(about, f"only one order ends with {', '.join(few)}, so what came before it varies with it")


def last_rate(compared: ArmContrast) -> Check:
    """Whether the last stage ran at another mean learning rate than those before."""
    about = "learning rate of the last stage"
    ratios = [ratio for m in compared.ours if (ratio := _last_against_earlier(compared, m)) is not None]
    if not ratios:
        return Check(about, known=False)
    ratio = sum(ratios) / len(ratios)
    found = f"the last stage ran at {ratio:.2f} times the mean learning rate of those before"
    return Check(about, found if abs(ratio - 1) > SAME_RATE else "")


def _last_against_earlier(compared: ArmContrast, final: ReachedModel) -> float | None:
    """Mean rate of the last stage over that of the earlier ones, of one order; None if its stages are not known."""
    stages = sorted(
        (
            m
            for m in compared.results.reached_models
            if (m.seed, m.strategy, m.order, m.moment) == (final.seed, final.strategy, final.order, "stage")
        ),
        key=lambda m: m.index,
    )
    if len(stages) < 2 or not is_whole(compared.results, stages[-1]):
        return None
    before, end = stages[-2], stages[-1]
    if not before.learning_rate_sum or end.steps == before.steps:
        return None
    last = (end.learning_rate_sum - before.learning_rate_sum) / (end.steps - before.steps)
    return last / (before.learning_rate_sum / before.steps)
