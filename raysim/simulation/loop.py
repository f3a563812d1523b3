"""The loop: one strategy, turn after turn. The same code plans a run and performs it; the labour differs."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from raysim.simulation.run_context import World
from raysim.simulation.strategy import Assignment, Milestone, Result, Strategy
from raysim.simulation.strategy_actor import Turn


@dataclass(frozen=True, eq=False)
class Instance:
    """One setting in one order at one seed; compared by identity.

    Attributes:
        label: of the setting.
        strategy: the setting in this order.
        world: the seed's.
    """

    label: str
    strategy: Strategy
    world: World

    @property
    def name(self) -> str:
        """For people: the label, and the order where there is more than one."""
        one_of_many = self.strategy.order != " + ".join(self.world.inventories)
        return f"{self.label} {self.strategy.order}" if one_of_many else self.label


class Labour(Protocol):
    """Does the work of an instance."""

    async def begin(self, instance: Instance) -> Turn:
        """The strategy's first turn."""
        ...

    async def train(self, instance: Instance, turn: Turn, assignment: Assignment) -> Result:
        """Performs one assignment."""
        ...

    async def apply(self, instance: Instance, turn: Turn, results: list[Result]) -> Turn:
        """Hands results to the strategy."""
        ...

    async def reached(self, instance: Instance, turn: Turn, milestone: Milestone) -> None:
        """Takes note of a model that exists now."""
        ...

    async def finish(self, instance: Instance) -> None:
        """The instance is done."""
        ...


async def simulate(instance: Instance, labour: Labour) -> None:
    """Runs `instance` to its end: assignments of a turn at once, their results in the order of the plan."""
    turn = await labour.begin(instance)
    while True:
        for milestone in turn.milestones:
            await labour.reached(instance, turn, milestone)
        if not turn.assignments:
            break
        results = await asyncio.gather(*(labour.train(instance, turn, a) for a in turn.assignments))
        turn = await labour.apply(instance, turn, list(results))
    await labour.finish(instance)
