"""Plans a run: the loop with a trainer that returns only keys."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raysim.core.errors import InputError
from raysim.core.keys import Key, key_of
from raysim.simulation.early_stop import EarlyStop, KnownLoss, early_stop_of
from raysim.simulation.loop import StrategyRun, simulate
from raysim.simulation.stage import Stage
from raysim.simulation.strategy import ClientUpdate, ModelCheckpoint, TrainInstruction, uploads
from raysim.simulation.strategy_actor import NO_WEIGHTS, RoundPlan, StrategyActor
from raysim.training.objectives import stateful
from raysim.training.weights import Flat


@dataclass(frozen=True)
class PlannedStage:
    """A training stage that a strategy run will ask for, in the round `round` (from 0)."""

    stage: Stage
    strategy_run: StrategyRun
    round: int

    @property
    def key(self) -> Key:
        return self.stage.key

    @property
    def instruction(self) -> TrainInstruction:
        return self.stage.instruction

    @property
    def num_tokens(self) -> int:
        """Tokens that it trains on."""
        return self.stage.tokens


@dataclass(frozen=True)
class PlannedModel:
    """A model that a strategy run will reach."""

    strategy_run: StrategyRun
    checkpoint: ModelCheckpoint


@dataclass
class Plan:
    """All stages and models of all strategy runs, in the order in which they would be asked for.

    Attributes:
        aggregations: keys of them.
        rounds: the same by the label of the setting.
        uploads: what clients send to be aggregated.
        recipes: of initial weights, stages and aggregations, by key, in that order.
        buffers: flat buffers of the size of the model that each of these puts into the store.
        importances: tokens that the Fisher information of earlier organizations' data takes, by its key.
        stops: where runs are known to end with an error, and why, a sentence each.
        validations: models whose validation says whether rounds go on.
        bounds: a sentence for each setting that may be over sooner than is planned.
    """

    stages: list[PlannedStage] = field(default_factory=list)
    models: list[PlannedModel] = field(default_factory=list)
    aggregations: list[Key] = field(default_factory=list)
    rounds: dict[str, set[Key]] = field(default_factory=dict)
    uploads: list[PlannedModel] = field(default_factory=list)
    recipes: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    buffers: dict[Key, int] = field(default_factory=dict)
    importances: dict[Key, int] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)
    validations: list[PlannedModel] = field(default_factory=list)
    bounds: list[str] = field(default_factory=list)

    def summary(self, cached: Callable[[Key], bool]) -> dict[str, dict[str, int]]:
        """For each setting: stages if every order ran alone (naive), unique ones, and those in the store."""
        rows: dict[str, dict[str, int]] = {}
        for label in dict.fromkeys(stage.strategy_run.label for stage in self.stages):
            keys = [stage.key for stage in self.stages if stage.strategy_run.label == label]
            unique = set(keys)
            rows[label] = {"naive": len(keys), "unique": len(unique), "cached": sum(map(cached, unique))}
        return rows

    def work(self) -> dict[str, dict[str, int]]:
        """For each setting its ``stages`` and its ``rounds``, each piece of work once."""
        stages = {label: row["unique"] for label, row in self.summary(lambda _: False).items()}
        return {label: {"stages": count, "rounds": len(self.rounds.get(label, ()))} for label, count in stages.items()}

    def unique_stages(self) -> dict[Key, PlannedStage]:
        """Each stage once, under the first strategy run that asks for it."""
        found: dict[Key, PlannedStage] = {}
        for stage in self.stages:
            found.setdefault(stage.key, stage)
        return found

    @property
    def leaves(self) -> frozenset[Key]:
        """Final models."""
        return frozenset(model.checkpoint.model for model in self.models if model.checkpoint.final)

    @property
    def reported(self) -> frozenset[Key]:
        """All models."""
        return frozenset(model.checkpoint.model for model in self.models)

    def urgency(self) -> dict[tuple[StrategyRun, int], float]:
        """For (strategy run, round) how urgent its stages are.

        The longest path comes first: the training tokens of the whole run, whichever of its clients has most in
        a round. Among paths as long, what is nearer to the end comes first, so that a tree of orders is walked depth
        first and few of its models are waiting for their successors.
        """
        rounds: dict[StrategyRun, dict[int, int]] = {}
        for stage in self.stages:
            tokens = rounds.setdefault(stage.strategy_run, {})
            tokens[stage.round] = max(tokens.get(stage.round, 0), stage.num_tokens)
        return {
            (strategy_run, number): sum(tokens.values()) + number / (1 + max(tokens))
            for strategy_run, tokens in rounds.items()
            for number in tokens
        }

    def add(self, key: Key, recipe: Mapping[str, Any], buffers: int) -> None:
        """Notes work that puts `buffers` flat buffers into the store."""
        self.recipes[key] = recipe
        self.buffers[key] = buffers


class Planner:
    """Implements `raysim.simulation.loop.Executor` without doing any work.

    Args:
        known: validation losses by which rounds end here as in the run; rounds go on where one is not known yet.
    """

    def __init__(self, known: KnownLoss = lambda _run, _model: None) -> None:
        self.plan = Plan()
        self._known = known
        self._early_stops: dict[StrategyRun, EarlyStop] = {}
        self._open: set[StrategyRun] = set()
        self._strategy_actors: dict[StrategyRun, StrategyActor] = {}
        self._tensors: dict[StrategyRun, Mapping[str, Flat]] = {}

    async def begin(self, strategy_run: StrategyRun) -> RoundPlan:
        strategy_actor = self._strategy_actors[strategy_run] = StrategyActor(strategy_run.strategy)
        if early := early_stop_of(strategy_run):
            self._early_stops[strategy_run] = early
        context = strategy_run.context
        self.plan.add(context.initial_key(), context.initial, 1)
        if (stage := context.pretraining) and stage.key not in self.plan.recipes:
            self.plan.add(stage.key, stage.recipe, 1)
            self.plan.stages.append(PlannedStage(stage, strategy_run, 0))
        return strategy_actor.begin(context.start)

    async def train(
        self, strategy_run: StrategyRun, round_plan: RoundPlan, instruction: TrainInstruction
    ) -> ClientUpdate:
        if strangers := set(instruction.organizations) - set(strategy_run.strategy.members):
            raise InputError(
                f"strategies: {strategy_run.name}: trains at {', '.join(sorted(strangers))}, whom its `members` do not"
                f" name: {', '.join(strategy_run.strategy.members)}"
            )
        try:
            stage = strategy_run.context.stage(instruction)
        except InputError as error:
            raise InputError(f"strategies: {strategy_run.label}: {error}") from None
        for one in instruction.importances:
            recipe = strategy_run.context.importance_recipe(one)
            self.plan.add(key_of(recipe), recipe, 1)
            self.plan.importances[key_of(recipe)] = one.sequences * strategy_run.context.trainer.sequence_length
        objective = stateful(instruction.objective)
        kept = len(objective.client_buffers) if objective else 0
        kept += len(instruction.upload.client_buffers) if instruction.upload else 0
        self.plan.add(stage.key, stage.recipe, (3 if instruction.keep_state else 1) + kept)
        self.plan.stages.append(PlannedStage(stage, strategy_run, round_plan.control["round"]))
        return ClientUpdate(instruction, stage.key, stage.num_sequences, NO_WEIGHTS)

    async def apply(self, strategy_run: StrategyRun, round_plan: RoundPlan, results: list[ClientUpdate]) -> RoundPlan:
        strategy_actor = self._strategy_actors[strategy_run]
        if not strategy_run.strategy.aggregates:
            return strategy_actor.advance(results)
        parent = round_plan.control["model"]
        recipe = strategy_run.context.aggregation(strategy_run.strategy, parent, results)
        key = key_of(recipe)
        tensors = self._tensors.get(strategy_run, {"weights": NO_WEIGHTS})
        given = *tensors.values(), *(result.weights for result in results)
        aggregated = strategy_actor.aggregate(tuple(tensors), results, key, *given)
        self._tensors[strategy_run] = dict(zip(aggregated.tensors, strategy_actor.new_tensors(), strict=True))
        self.plan.add(key, recipe, len(aggregated.tensors))
        self.plan.aggregations.append(key)
        self.plan.rounds.setdefault(strategy_run.label, set()).add(key)
        planned = self._validated(strategy_run, aggregated.plan)
        federated = strategy_run.strategy.family == "federated"
        sent = uploads(results, key, planned.control["round"], planned.checkpoints) if federated else []
        self.plan.uploads += [PlannedModel(strategy_run, checkpoint) for checkpoint in sent]
        return planned

    def _validated(self, strategy_run: StrategyRun, planned: RoundPlan) -> RoundPlan:
        """What comes after a round, as far as losses are known; from the first that is not, all rounds."""
        early, number = self._early_stops.get(strategy_run), planned.control["round"]
        if early is None or not early.due(number):
            return planned
        model = planned.control["model"]
        self.plan.validations.append(PlannedModel(strategy_run, ModelCheckpoint(model, "round", number, final=False)))
        if strategy_run in self._open:
            return planned
        loss = self._known(strategy_run, model)
        if loss is not None:
            return early.after(planned, loss)
        self._open.add(strategy_run)
        bound = (
            f"strategies: {strategy_run.label}: at most {early.rounds} rounds, and all of them count in what is planned"
            f" here; early_stop may end them from round {max(number, early.settings.first_end())} on"
        )
        if bound not in self.plan.bounds:
            self.plan.bounds.append(bound)
        return planned

    async def reached(self, strategy_run: StrategyRun, round_plan: RoundPlan, checkpoint: ModelCheckpoint) -> None:
        self.plan.models.append(PlannedModel(strategy_run, checkpoint))

    async def finish(self, strategy_run: StrategyRun) -> None:
        del self._strategy_actors[strategy_run]

    async def stop(self, strategy_run: StrategyRun, why: str) -> None:
        self.plan.stops.append(f"{strategy_run.name}, seed {strategy_run.context.seed}: the run will end in {why}")


async def plan(strategy_runs: Iterable[StrategyRun], known: KnownLoss = lambda _run, _model: None) -> Plan:
    """What `strategy_runs` will do, found by running their strategies on buffers of no elements.

    Args:
        strategy_runs: to plan.
        known: validation losses, where there are some already; see `Planner`.
    """
    planner = Planner(known)
    for strategy_run in strategy_runs:
        await simulate(strategy_run, planner)
    return planner.plan
