"""What each setting of a run is, in a line, under the title of the report."""

from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.report.sections.overview import counted

_FAMILIES = {
    "base": "the model that every setting begins with, before any organization's code",
    "given": "the model as it came",
    "single": "each organization trains alone",
    "centralized": "all data in one place, one model",
    "incremental": "one model handed on: each organization trains it further, the last one's code is seen last",
    "cyclic": "one model handed around, in several passes",
    "federated": "each organization trains a copy, only weights travel, and every round a server combines them",
    "personalized": "a federated model that each organization trains on alone in the end",
    "unlearned": "a pooled model that is to forget one organization, and one that was trained without it",
}
_SERVERS = {
    "fedavg": "the mean, weighted by examples",
    "fedprox": "the mean; copies are kept near the server's model",
    "fedavgm": "the mean, with momentum",
    "fedadam": "the mean change, a step of Adam",
    "fedyogi": "the mean change, a step of Yogi, an adaptive optimizer",
    "fedadagrad": "the mean change, a step of Adagrad",
    "fedmedian": "the median of every weight",
    "fedtrimmedavg": "the mean without the extremes",
    "krum": "the copy that is nearest to most others",
    "multikrum": "the mean of those that are nearest to most others",
    "scaffold": "the mean; drifts of the copies are corrected",
}


def settings_said(results: RunResults) -> list[tuple[str, str]]:
    """Each setting's label and what it is, in the order of the tables."""
    groups: dict[str, list[ReachedModel]] = {}
    for reached in finals(results.reached_models):
        groups.setdefault(reached.strategy, []).append(reached)
    return [(label, gloss(models, results.strategy_names.get(label, label))) for label, models in groups.items()]


def gloss(models: list[ReachedModel], name: str) -> str:
    """What a setting is: its family, how a server combines, how much data, over how many orders.

    Args:
        models: those that it ended with.
        name: of the strategy.
    """
    first = models[0]
    parts = [_FAMILIES[first.family]]
    if first.family == "federated" and name in _SERVERS:
        parts[0] += f" ({_SERVERS[name]})"
    if first.fraction < 1:
        parts.append(f"on {100 * first.fraction:.0f} % of the data, for comparison")
    orders = len({m.order for m in models})
    if first.family in ("incremental", "cyclic") and orders > 1:
        parts.append(f"in {counted(orders, 'order')}, of which numbers are means")
    return ", ".join(parts)
