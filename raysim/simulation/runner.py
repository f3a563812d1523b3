"""Performs a run: what the loop asks for, as keyed work on sites."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raysim.recipe import Key, key_of, seed_of
from raysim.simulation.backends import Backend, InlineBackend
from raysim.simulation.host import StrategyHost, Turn
from raysim.simulation.ledger import Crossing
from raysim.simulation.lineage import Lineage
from raysim.simulation.loop import Instance
from raysim.simulation.stagelog import StageRecord
from raysim.simulation.store import Entry
from raysim.simulation.strategy import Assignment, Milestone, Result
from raysim.simulation.workshop import Done, Product, Workshop
from raysim.simulation.world import World
from raysim.training.models import initial_weights
from raysim.training.organization import Coalition, ModelSpec, Site
from raysim.training.trainer import Checkpoint, Progress, Snapshot, Task, TrainState, Update


@dataclass(frozen=True)
class ReachedModel:
    """A model that exists, and how it came to be."""

    instance: Instance
    milestone: Milestone
    lineage: Lineage

    @property
    def name(self) -> str:
        """For people: the instance, and how far it had come."""
        milestone = self.milestone
        if milestone.moment == "initial":
            return f"initial weights, seed {self.instance.world.seed}"
        return f"{self.instance.name}, {milestone.moment} {milestone.index}"


class Runner:
    """Implements `raysim.simulation.loop.Labour`.

    Args:
        workshop: does the work.
        priorities: for (instance, turn) how urgent its stages are.
        checkpoint_every_s: seconds between mid-stage checkpoints.
        snapshot_epochs: whether models after every epoch of a stage are wanted.
        on_model: called for each model that exists; not awaited.
    """

    def __init__(
        self,
        workshop: Workshop,
        priorities: Mapping[tuple[Instance, int], float],
        checkpoint_every_s: float,
        snapshot_epochs: bool,
        on_model: Callable[[ReachedModel], None],
    ) -> None:
        self._shop = workshop
        self._priorities = priorities
        self._checkpoint_every_s = checkpoint_every_s
        self._snapshot_epochs = snapshot_epochs
        self._on_model = on_model
        self._coalitions: dict[tuple[tuple[str, ...], float], tuple[Any, list[Crossing]]] = {}
        self._forming = asyncio.Lock()
        self._hosts: dict[Instance, tuple[Backend, Any]] = {}
        self._tensors_at: dict[Instance, Key] = {}
        self._lineages: dict[Key, Lineage] = {}

    async def initial(self, world: World) -> Entry:
        """The weights that every setting of `world` starts from, made at any organization: they depend on no data."""
        self._lineages.setdefault(world.initial_key(), Lineage())
        label = f"initial weights, seed {world.seed}"
        site = next(iter(world.inventories))
        return await self._shop.visit(world.initial, site, label, make_initial, world.spec, world.initial)

    async def begin(self, instance: Instance) -> Turn:
        await self.initial(instance.world)
        # A strategy that does not aggregate holds nothing but keys: a process for each order would only cost memory.
        backend = self._shop.backend if instance.strategy.aggregates else InlineBackend()
        self._hosts[instance] = backend, backend.spawn(StrategyHost, instance.strategy)
        return await self._ask(instance, "begin", instance.world.initial_key())

    async def train(self, instance: Instance, turn: Turn, assignment: Assignment) -> Result:
        world = instance.world
        key = key_of(world.stage(assignment))
        label = f"{instance.name}, {_moment(instance, turn)}: {' + '.join(assignment.organizations)}"
        priority = self._priorities[instance, turn.control["round"]]
        entry = await self._shop.once(
            key, instance.label, label, lambda: self._stage(world, assignment, label, priority)
        )
        shown = world.tokens_shown(assignment)
        self._lineages[key] = self._lineages[assignment.model].trained(assignment.model, shown, entry.info["metrics"])
        if self._snapshot_epochs and not instance.strategy.aggregates:
            self._reach_snapshots(instance, turn, assignment, key)
        return Result(assignment, key, world.num_sequences(assignment))

    async def apply(self, instance: Instance, turn: Turn, results: list[Result]) -> Turn:
        if not instance.strategy.aggregates:
            return await self._ask(instance, "book", results)
        parent = turn.control["model"]
        recipe = instance.world.aggregation(instance.strategy, parent, results)
        key = key_of(recipe)
        label = f"{instance.name}, {_moment(instance, turn)}: aggregation"
        entry = await self._shop.once(
            key, instance.label, label, lambda: self._aggregate(instance, parent, results, recipe)
        )
        clients = [self._lineages[r.key] for r in results]
        self._lineages[key] = self._lineages[parent].aggregated([r.key for r in results], clients)
        if self._tensors_at.get(instance) == key:
            return await self._ask(instance, "turn")
        return await self._ask(instance, "adopt", entry.info["control"])

    async def reached(self, instance: Instance, turn: Turn, milestone: Milestone) -> None:
        self._on_model(ReachedModel(instance, milestone, self._lineages[milestone.model]))

    async def finish(self, instance: Instance) -> None:
        backend, host = self._hosts.pop(instance)
        backend.dismiss(host)
        self._tensors_at.pop(instance, None)

    async def _ask(self, instance: Instance, method: str, *args: Any) -> Any:
        """Calls the host of an instance's strategy."""
        backend, host = self._hosts[instance]
        return await backend.call(host, method, *args)

    async def _stage(self, world: World, assignment: Assignment, label: str, priority: float) -> Done:
        shop = self._shop
        recipe = world.stage(assignment)
        key = key_of(recipe)
        tokens = world.num_tokens(assignment)
        if (entry := await shop.cached(key)) and self._snapshots_present(key, assignment.epochs):
            return entry, StageRecord(key, "train", "", label, "cached", tokens=tokens)
        site, crossings = await self._site(world, assignment)
        site_name = "+".join(assignment.organizations)
        task = Task(
            label=label,
            settings=world.trainer,
            epochs=assignment.epochs,
            horizon_epochs=assignment.horizon_epochs,
            seed=seed_of(key, "stage"),
            snapshot_epochs=self._snapshot_epochs,
            keep_state=assignment.keep_state,
            checkpoint_every_s=self._checkpoint_every_s,
            num_sequences=world.num_sequences(assignment),
        )
        async with shop.slots.hold(site_name, priority):
            past = await shop.entry(assignment.client_state) if assignment.client_state else None
            partial = await asyncio.to_thread(shop.store.get_partial, key)
            if partial:
                # It may come from a run that wanted no snapshots, past epochs whose models are wanted now.
                steps_per_epoch = math.ceil(world.num_sequences(assignment) / world.trainer.batch_size)
                if not self._snapshots_present(key, int(partial.info["counters"]["step"]) // steps_per_epoch):
                    partial = None
            weights = await shop.share(assignment.model)
            shop.observer.started(key, "train", label, tokens)
            started_s = time.monotonic()
            stream = shop.backend.stream(
                site, "train", world.spec, task, weights, _train_state(past), _train_state(partial)
            )
            update = None
            async for event in stream:
                match event:
                    case Progress():
                        note = f"epoch {event.epoch}/{assignment.epochs}, loss {event.loss:.2f}"
                        shop.observer.progressed(key, tokens * event.step // event.steps, note)
                    case Checkpoint(state):
                        step, info = int(state.counters["step"]), {"counters": dict(state.counters)}
                        await asyncio.to_thread(shop.store.put_partial, recipe, step, info, state.arrays)
                    case Snapshot():
                        snapshot = world.snapshot(key, event.epoch)
                        await asyncio.to_thread(
                            shop.store.put, snapshot, {"site": site_name}, {"weights": event.weights}
                        )
                    case Update():
                        update = event
            seconds = time.monotonic() - started_s
        assert update is not None, "a trainer ends with its update"
        state = update.client_state
        info = {
            "site": site_name,
            "metrics": dict(update.metrics),
            "counters": dict(state.counters) if state else None,
            "train_seconds": round(update.seconds, 3),
            "crossings": [crossing.to_json() for crossing in crossings],
        }
        arrays = {**(state.arrays if state else {}), "weights": update.weights}
        entry = await asyncio.to_thread(shop.store.put, recipe, info, arrays)
        return entry, StageRecord(key, "train", "", label, "computed", seconds, tokens)

    async def _aggregate(
        self, instance: Instance, parent: Key, results: list[Result], recipe: Mapping[str, Any]
    ) -> Done:
        shop = self._shop
        key = key_of(recipe)
        if entry := await shop.cached(key):
            return entry, StageRecord(key, "aggregate", "", "", "cached")
        started_s = time.monotonic()
        tensors = (await shop.entry(parent)).arrays() if self._tensors_at.get(instance) != parent else None
        weights = [await shop.share(result.key) for result in results]
        control, tensors = await self._ask(instance, "aggregate", tensors, results, key, *weights)
        self._tensors_at[instance] = key
        entry = await asyncio.to_thread(shop.store.put, recipe, {"control": control}, tensors)
        return entry, StageRecord(key, "aggregate", "", "", "computed", time.monotonic() - started_s)

    async def _site(self, world: World, assignment: Assignment) -> tuple[Any, list[Crossing]]:
        """The party that trains an assignment, and what its making moved."""
        shop, names = self._shop, assignment.organizations
        if len(names) == 1:
            return shop.organizations[names[0]], []
        coalition = names, assignment.fraction
        async with self._forming:
            if coalition not in self._coalitions:
                site = "+".join(names)
                counts = world.sequences_of(assignment)
                parts = [await shop.backend.call(shop.organizations[o], "share_sequences", counts[o]) for o in names]
                moved = [Crossing.of(o, site, "sequences", p.tobytes()) for o, p in zip(names, parts, strict=True)]
                self._coalitions[coalition] = shop.backend.spawn(Coalition, site, parts), moved
        return self._coalitions[coalition]

    def _snapshots_present(self, key: Key, epochs: int) -> bool:
        """Whether nothing is missing of the first `epochs` epochs of a stage."""
        wanted = range(1, epochs + 1) if self._snapshot_epochs else ()
        return all(self._shop.store.has(key_of(World.snapshot(key, epoch))) for epoch in wanted)

    def _reach_snapshots(self, instance: Instance, turn: Turn, assignment: Assignment, key: Key) -> None:
        """Reports the models after every epoch of a stage."""
        whole, past = self._lineages[key], self._lineages[assignment.model]
        last = assignment.organizations[0] if len(assignment.organizations) == 1 else ""
        for epoch in range(1, assignment.epochs + 1):
            share = epoch / assignment.epochs
            shown = {name: round(n * share) for name, n in instance.world.tokens_shown(assignment).items()}
            metrics = {"steps": round((whole.steps - past.steps) * share), "learning_rate_sum": float("nan")}
            lineage = past.trained(key, shown, metrics)
            index = turn.control["round"] * assignment.epochs + epoch
            snapshot = key_of(World.snapshot(key, epoch))
            self._shop.used.add(snapshot)
            self._on_model(ReachedModel(instance, Milestone(snapshot, "epoch", index, False, last), lineage))


def make_initial(site: Site, spec: ModelSpec, recipe: dict[str, Any]) -> Product:
    """A visitor that builds the initial weights."""
    weights, info = initial_weights(spec.settings, spec.vocab_size, spec.bos_id, spec.context, recipe)
    return Product(info, {"weights": weights})


def _train_state(entry: Entry | None) -> TrainState | None:
    """The optimizer (of a finished stage) or everything (of a checkpoint) in `entry`."""
    return None if entry is None else TrainState(entry.arrays(), entry.info["counters"])


def _moment(instance: Instance, turn: Turn) -> str:
    return f"{'round' if instance.strategy.aggregates else 'stage'} {turn.control['round'] + 1}"
