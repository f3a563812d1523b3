"""Plans a run: the loop with a trainer that returns only keys."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raysim.core.keys import Key, key_of
from raysim.simulation.loop import Instance, simulate
from raysim.simulation.strategy import Assignment, Milestone, Result
from raysim.simulation.strategy_actor import NO_WEIGHTS, StrategyHost, Turn


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
    """All stages and models of all instances, in the order in which they would be asked for.

    Attributes:
        recipes: of initial weights, stages and aggregations, by key, in that order.
        buffers: flat buffers of the size of the model that each of these puts into the store.
    """

    stages: list[PlannedStage] = field(default_factory=list)
    models: list[PlannedModel] = field(default_factory=list)
    aggregations: list[Key] = field(default_factory=list)
    recipes: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    buffers: dict[Key, int] = field(default_factory=dict)

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

    @property
    def leaves(self) -> frozenset[Key]:
        """Final models."""
        return frozenset(model.milestone.model for model in self.models if model.milestone.final)

    def urgency(self) -> dict[tuple[Instance, int], float]:
        """For (instance, turn) how urgent its stages are.

        The longest path comes first: the training tokens of the whole instance, whichever of its clients has most in
        a turn. Among paths as long, what is nearer to the end comes first, so that a tree of orders is walked depth
        first and few of its models are waiting for their successors.
        """
        paths: dict[Instance, dict[int, int]] = {}
        for stage in self.stages:
            turns = paths.setdefault(stage.instance, {})
            turns[stage.turn] = max(turns.get(stage.turn, 0), stage.num_tokens)
        return {
            (instance, turn): sum(turns.values()) + turn / (1 + max(turns))
            for instance, turns in paths.items()
            for turn in turns
        }

    def add(self, recipe: Mapping[str, Any], buffers: int) -> Key:
        """Notes work that puts so many buffers into the store."""
        key = key_of(recipe)
        self.recipes[key] = recipe
        self.buffers[key] = buffers
        return key


class Planner:
    """Implements `raysim.simulation.loop.Labour` without doing any work."""

    def __init__(self) -> None:
        self.plan = Plan()
        self._hosts: dict[Instance, StrategyHost] = {}

    async def begin(self, instance: Instance) -> Turn:
        host = self._hosts[instance] = StrategyHost(instance.strategy)
        return host.begin(self.plan.add(instance.world.initial, 1))

    async def train(self, instance: Instance, turn: Turn, assignment: Assignment) -> Result:
        world = instance.world
        key = self.plan.add(world.stage(assignment), 3 if assignment.keep_state else 1)
        tokens = world.num_tokens(assignment)
        self.plan.stages.append(PlannedStage(key, instance, turn.control["round"], assignment, tokens))
        return Result(assignment, key, world.num_sequences(assignment), NO_WEIGHTS)

    async def apply(self, instance: Instance, turn: Turn, results: list[Result]) -> Turn:
        host = self._hosts[instance]
        if not instance.strategy.aggregates:
            return host.book(results)
        parent = turn.control["model"]
        recipe = instance.world.aggregation(instance.strategy, parent, results)
        _, tensors = host.aggregate(None, results, key_of(recipe), *(r.weights for r in results))
        self.plan.aggregations.append(self.plan.add(recipe, len(tensors)))
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
