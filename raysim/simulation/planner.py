"""Plans a run: the loop with a trainer that returns only keys."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from raysim.recipe import Key, key_of
from raysim.simulation.host import NO_WEIGHTS, StrategyHost, Turn
from raysim.simulation.loop import Instance, simulate
from raysim.simulation.strategy import Assignment, Milestone, Result


@dataclass(frozen=True)
class PlannedStage:
    """A training stage that an instance will ask for."""

    key: Key
    instance: Instance
    turn: int
    assignment: Assignment
    num_tokens: int


@dataclass(frozen=True)
class PlannedModel:
    """A model that an instance will reach."""

    instance: Instance
    milestone: Milestone


@dataclass
class Plan:
    """All stages and models of all instances, in the order in which they would be asked for."""

    stages: list[PlannedStage] = field(default_factory=list)
    models: list[PlannedModel] = field(default_factory=list)
    aggregations: list[Key] = field(default_factory=list)

    def summary(self, cached: Callable[[Key], bool]) -> dict[str, dict[str, int]]:
        """For each setting: stages if every order ran alone (naive), unique ones, and those in the store."""
        rows: dict[str, dict[str, int]] = {}
        for label in dict.fromkeys(stage.instance.label for stage in self.stages):
            keys = [stage.key for stage in self.stages if stage.instance.label == label]
            unique = set(keys)
            rows[label] = {"naive": len(keys), "unique": len(unique), "cached": sum(map(cached, unique))}
        return rows

    def unique_stages(self) -> dict[Key, PlannedStage]:
        """Each stage once, under the first instance that asks for it."""
        found: dict[Key, PlannedStage] = {}
        for stage in self.stages:
            found.setdefault(stage.key, stage)
        return found

    def remaining_tokens(self) -> dict[tuple[Instance, int], float]:
        """For (instance, turn): training tokens on the longest path from there to the instance's end."""
        longest: dict[Instance, dict[int, int]] = {}
        for stage in self.stages:
            turns = longest.setdefault(stage.instance, {})
            turns[stage.turn] = max(turns.get(stage.turn, 0), stage.num_tokens)
        return {
            (instance, turn): float(sum(tokens for later, tokens in turns.items() if later >= turn))
            for instance, turns in longest.items()
            for turn in turns
        }


class Planner:
    """Implements `raysim.simulation.loop.Labour` without doing any work."""

    def __init__(self) -> None:
        self.plan = Plan()
        self._hosts: dict[Instance, StrategyHost] = {}

    async def begin(self, instance: Instance) -> Turn:
        host = self._hosts[instance] = StrategyHost(instance.strategy)
        return host.begin(instance.world.initial_key())

    async def train(self, instance: Instance, turn: Turn, assignment: Assignment) -> Result:
        world = instance.world
        key = key_of(world.stage(assignment))
        tokens = world.num_tokens(assignment)
        self.plan.stages.append(PlannedStage(key, instance, turn.control["round"], assignment, tokens))
        return Result(assignment, key, world.num_sequences(assignment), NO_WEIGHTS)

    async def apply(self, instance: Instance, turn: Turn, results: list[Result]) -> Turn:
        host = self._hosts[instance]
        if not instance.strategy.aggregates:
            return host.book(results)
        parent = turn.control["model"]
        key = key_of(instance.world.aggregation(instance.strategy, parent, results))
        self.plan.aggregations.append(key)
        host.aggregate(None, results, key, *(r.weights for r in results))
        return host.turn()

    async def reached(self, instance: Instance, turn: Turn, milestone: Milestone) -> None:
        self.plan.models.append(PlannedModel(instance, milestone))

    async def finish(self, instance: Instance) -> None:
        del self._hosts[instance]


async def plan(instances: Iterable[Instance]) -> Plan:
    """What `instances` will do, found by running their strategies on buffers of no elements."""
    planner = Planner()
    for instance in instances:
        await simulate(instance, planner)
    return planner.plan
