"""Validates the models of rounds that may be the last, and ends strategy runs whose losses say so."""

import asyncio
from collections.abc import Iterator
from math import inf
from typing import Any

from raysim.simulation.early_stop import EarlyStop, ValidationTasks, early_stop_of, loss_of
from raysim.simulation.loop import StrategyRun
from raysim.simulation.strategy_actor import RoundPlan
from raysim.tasks.executor import TaskExecutor


class ValidatedRounds:
    """What becomes of rounds after their validation, in all strategy runs.

    Args:
        executor: does keyed work.
        tasks: of validating a model.
    """

    def __init__(self, executor: TaskExecutor, tasks: ValidationTasks) -> None:
        self._executor = executor
        self._tasks = tasks
        self._runs: dict[StrategyRun, EarlyStop | None] = {}

    async def after(self, strategy_run: StrategyRun, planned: RoundPlan) -> RoundPlan:
        """What comes after a round: as `planned`, or nothing, where losses have not improved for long enough."""
        early, number = self._early_stop(strategy_run), planned.control["round"]
        if early is None or not early.due(number):
            return planned
        model = planned.control["model"]
        held = {early.kept.model, model} if early.kept else {model}
        self._executor.hold(model)
        # First of all work: the next round waits for it.
        tasks = (self._executor.run_on_client(task, inf) for task in self._tasks(strategy_run, model))
        after = early.after(planned, loss_of(await asyncio.gather(*tasks)))
        kept = early.kept
        for one in held - ({kept.model} if kept else set()):
            self._executor.release(one)
        if kept and early.last:
            await self._executor.end_with(kept.model)
            self._tell(strategy_run, early, kept.round)
        return after

    def ended(self) -> dict[StrategyRun, int]:
        """The last round of each strategy run that ended before its number of rounds."""
        runs = ((run, early) for run, early in self._runs.items() if early)
        return {run: early.last for run, early in runs if early.last and early.last < early.rounds}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of the table ``validations``."""
        ended = ((run, early) for run, early in self._runs.items() if early and early.last)
        for run, early in ended:
            for one in early.validations:
                yield {
                    "seed": run.context.seed,
                    "strategy": run.label,
                    "order": run.strategy.order,
                    "round": one.round,
                    "model": one.model,
                    "loss": one.loss,
                    "improved": one.improved,
                    "kept": one is early.kept,
                    "rounds": early.rounds,
                    "last": one.round == early.last,
                }

    def _tell(self, strategy_run: StrategyRun, early: EarlyStop, kept: int) -> None:
        """Says that rounds have ended early, and with which model."""
        if early.last == early.rounds:
            return
        patience = early.settings.patience
        self._executor.observer.note(
            f"{strategy_run.name}, seed {strategy_run.context.seed}: ends after round {early.last} of {early.rounds},"
            f" since {patience} validation{'s' * (patience != 1)} brought no improvement; its model is that of round"
            f" {kept}"
        )

    def _early_stop(self, strategy_run: StrategyRun) -> EarlyStop | None:
        if strategy_run not in self._runs:
            self._runs[strategy_run] = early_stop_of(strategy_run)
        return self._runs[strategy_run]
