"""The validation by which rounds end early: what the measure `perplexity` does with a model, by the same keys."""

from collections.abc import Iterable, Sequence

from raysim.core.errors import DamagedEntry
from raysim.core.keys import Key
from raysim.measures.base import Measure
from raysim.measures.perplexity import Perplexity, PerplexitySettings, held_out_task
from raysim.simulation.early_stop import KnownLoss, ValidationTasks, loss_of
from raysim.simulation.loop import StrategyRun
from raysim.store.entries import Entry
from raysim.store.store import Store
from raysim.tasks.task import Task, TaskOutput


def validation_tasks(measures: Iterable[Measure]) -> ValidationTasks:
    """Makes the work of validating a model at the organizations that take part, in windows as `perplexity` has them.

    Args:
        measures: of the experiment; without `perplexity` among them, its default is taken.
    """
    settings = next((one.settings for one in measures if isinstance(one, Perplexity)), PerplexitySettings())

    def tasks(strategy_run: StrategyRun, model: Key) -> Sequence[Task[TaskOutput]]:
        return [_task(strategy_run, model, name, settings.batch_size) for name in strategy_run.strategy.members]

    return tasks


def known_losses(tasks: ValidationTasks, store: Store) -> KnownLoss:
    """Looks losses up in `store`, where all tasks of a model are done."""

    def known(strategy_run: StrategyRun, model: Key) -> float | None:
        entries: list[Entry] = []
        for task in tasks(strategy_run, model):
            try:
                entry = store.get(task.key)
            except DamagedEntry:
                return None  # the run computes it again
            if entry is None:
                return None
            entries.append(entry)
        return loss_of(entries)

    return known


def _task(strategy_run: StrategyRun, model: Key, name: str, batch_size: int) -> Task[TaskOutput]:
    task = held_out_task(strategy_run.context, model, name, batch_size, "valid")
    label = f"{strategy_run.name}, validation of a round at {name}"
    return Task(task.recipe, label, name, task.function, task.arguments, task.tokens)
