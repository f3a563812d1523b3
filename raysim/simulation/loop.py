"""The loop: one strategy, round after round. The same code plans a run and performs it; the executor differs."""

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
        one_of_many = self.strategy.order not in ("", " + ".join(self.context.client_stats))
        return f"{self.label} {self.strategy.order}" if one_of_many else self.label


def strategy_runs(config: StrategyConfig, context: RunContext) -> list[StrategyRun]:
    """Every variant of a setting at one seed.

    Raises:
        InputError: settings that do not fit the organizations.
    """
    return [StrategyRun(config, strategy, context) for strategy in config.variants(context.federation)]


class Executor(Protocol):
    """Does the work of strategy runs."""

    async def begin(self, strategy_run: StrategyRun) -> RoundPlan:
        """The plan of the strategy's first round."""
        ...

    async def train(
        self, strategy_run: StrategyRun, round_plan: RoundPlan, instruction: TrainInstruction
    ) -> ClientUpdate:
        """Carries out one instruction."""
        ...

    async def apply(self, strategy_run: StrategyRun, round_plan: RoundPlan, results: list[ClientUpdate]) -> RoundPlan:
        """Hands the updates of a round to the strategy; the plan of the next one."""
        ...

    async def reached(self, strategy_run: StrategyRun, round_plan: RoundPlan, checkpoint: ModelCheckpoint) -> None:
        """Records a model that exists now."""
        ...

    async def finish(self, strategy_run: StrategyRun) -> None:
        """Releases what the strategy run held."""
        ...

    async def stop(self, strategy_run: StrategyRun, why: str) -> None:
        """Ends a finished strategy run whose strategy cannot go on to its end."""
        ...


async def simulate(strategy_run: StrategyRun, executor: Executor) -> None:
    """Runs `strategy_run` to its end: instructions of a round at once, their updates in the order of the plan."""
    round_plan = await executor.begin(strategy_run)
    while True:
        for checkpoint in round_plan.checkpoints:
            await executor.reached(strategy_run, round_plan, checkpoint)
        if round_plan.over:
            break
        updates = (executor.train(strategy_run, round_plan, one) for one in round_plan.instructions)
        round_plan = await executor.apply(strategy_run, round_plan, await asyncio.gather(*updates))
    await executor.finish(strategy_run)
    if round_plan.ends:
        await executor.stop(strategy_run, round_plan.ends)
