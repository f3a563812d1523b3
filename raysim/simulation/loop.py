"""The loop: one strategy, turn after turn. The same code plans a run and performs it; the labour differs."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from raysim.simulation.registry import StrategyConfig
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ClientUpdate, ModelCheckpoint, Strategy, TrainInstruction
from raysim.simulation.strategy_actor import RoundPlan


@dataclass(frozen=True, eq=False)
class StrategyRun:
    """One setting in one order at one seed; compared by identity.

    Attributes:
        config: the setting.
        strategy: the setting in this order.
        context: the seed's.
    """

    config: StrategyConfig
    strategy: Strategy
    context: RunContext

    @property
    def label(self) -> str:
        """The label of the setting."""
        return self.config.label

    @property
    def name(self) -> str:
        """For people: the label, and the order where there is more than one."""
        one_of_many = self.strategy.order != " + ".join(self.context.client_stats)
        return f"{self.label} {self.strategy.order}" if one_of_many else self.label


def strategy_runs(config: StrategyConfig, context: RunContext) -> list[StrategyRun]:
    """Every variant of a setting at one seed.

    Raises:
        InputError: settings that do not fit the organizations.
    """
    return [StrategyRun(config, strategy, context) for strategy in config.variants(context.federation)]


class Executor(Protocol):
    """Does the work of an instance."""

    async def begin(self, strategy_run: StrategyRun) -> RoundPlan:
        """The strategy's first turn."""
        ...

    async def train(
        self, strategy_run: StrategyRun, round_plan: RoundPlan, instruction: TrainInstruction
    ) -> ClientUpdate:
        """Performs one assignment."""
        ...

    async def apply(self, strategy_run: StrategyRun, round_plan: RoundPlan, results: list[ClientUpdate]) -> RoundPlan:
        """Hands results to the strategy."""
        ...

    async def reached(self, strategy_run: StrategyRun, round_plan: RoundPlan, checkpoint: ModelCheckpoint) -> None:
        """Takes note of a model that exists now."""
        ...

    async def finish(self, strategy_run: StrategyRun) -> None:
        """The instance is done."""
        ...


async def simulate(strategy_run: StrategyRun, labour: Executor) -> None:
    """Runs `strategy_run` to its end: assignments of a turn at once, their results in the order of the plan."""
    round_plan = await labour.begin(strategy_run)
    while True:
        for checkpoint in round_plan.checkpoints:
            await labour.reached(strategy_run, round_plan, checkpoint)
        if not round_plan.instructions:
            break
        results = await asyncio.gather(*(labour.train(strategy_run, round_plan, a) for a in round_plan.instructions))
        round_plan = await labour.apply(strategy_run, round_plan, list(results))
    await labour.finish(strategy_run)
