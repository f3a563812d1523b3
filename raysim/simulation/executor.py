"""Performs a run: what the loop asks for, as keyed work on sites."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from raysim.cluster.backend import Backend, InlineBackend
from raysim.core.errors import PartyLost
from raysim.core.keys import Key, key_of, seed_of
from raysim.organizations.organization import Coalition, ModelSpec, Site
from raysim.simulation.lineage import Lineage
from raysim.simulation.loop import Instance
from raysim.simulation.run_context import World
from raysim.simulation.strategy import Assignment, Milestone, Result
from raysim.simulation.strategy_actor import StrategyHost, Turn
from raysim.store.entries import Entry
from raysim.store.task_log import StageRecord
from raysim.store.transfers import Crossing
from raysim.tasks.executor import Done, Product, Taken, Workshop
from raysim.training.models import initial_weights
from raysim.training.request import Checkpoint, Progress, Snapshot, Task, TrainState, Update


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
        self._pooled: dict[str, list[Crossing]] = {}
        self._hosts: dict[Instance, tuple[Backend, Any]] = {}
        self._tensors_at: dict[Instance, Key] = {}
        self._lineages: dict[Key, Lineage] = {}
        self._plain: dict[Key, Key] = {}

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
        plain = replace(
            assignment,
            model=self._plain_key(assignment.model),
            client_state=assignment.client_state and self._plain_key(assignment.client_state),
        )
        self._plain[key] = key_of(world.stage(plain, world.trainer.plain()))

        def work(arrays: bool) -> Awaitable[Done]:
            return self._stage(world, assignment, label, priority, arrays)

        # Of every stage, also where nobody asks for its snapshots: they are let go with it.
        for snapshot in self._snapshots(key, assignment.epochs):
            self._shop.can_make(snapshot, key, label, work)
        entry = await self._shop.once(key, instance.label, label, work)
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
        plain = [replace(result, key=self._plain_key(result.key)) for result in results]
        self._plain[key] = key_of(instance.world.aggregation(instance.strategy, self._plain_key(parent), plain))
        label = f"{instance.name}, {_moment(instance, turn)}: aggregation"
        entry = await self._shop.once(
            key, instance.label, label, lambda arrays: self._aggregate(instance, turn, results, recipe, label, arrays)
        )
        clients = [self._lineages[r.key] for r in results]
        self._lineages[key] = self._lineages[parent].aggregated([r.key for r in results], clients)
        return await self._ask(instance, "adopt", entry.info["control"])

    async def reached(self, instance: Instance, turn: Turn, milestone: Milestone) -> None:
        self._on_model(ReachedModel(instance, milestone, self._lineages[milestone.model]))

    async def finish(self, instance: Instance) -> None:
        backend, host = self._hosts.pop(instance)
        backend.dismiss(host)
        self._tensors_at.pop(instance, None)

    def _plain_key(self, key: Key) -> Key:
        """The key that a model would have if everything up to it were trained in the plainest way; see `Task.seed`."""
        return self._plain.get(key, key)

    async def _ask(self, instance: Instance, method: str, *args: Any) -> Any:
        """Calls the host of an instance's strategy; a lost one is replaced and asked again.

        What a host held is in the store, or comes along: `args` must be all that a new one needs.
        """
        attempt = partial(self._call_host, instance, method, *args)
        return await self._shop.crew.retrying.run(f"{instance.name}: strategy", attempt)

    async def _call_host(self, instance: Instance, method: str, *args: Any) -> Any:
        backend, host = self._hosts[instance]
        try:
            return await backend.call(host, method, *args)
        except PartyLost:
            self._replace_host(instance)
            raise

    def _replace_host(self, instance: Instance) -> None:
        backend, host = self._hosts[instance]
        backend.dismiss(host)
        self._hosts[instance] = backend, backend.spawn(StrategyHost, instance.strategy)
        self._tensors_at.pop(instance, None)

    async def _find_host(self, instance: Instance) -> None:
        """Sees to it that the host of an instance's strategy answers: it may have been lost since it last spoke."""
        backend, host = self._hosts[instance]
        if not await backend.answers(host):
            self._replace_host(instance)

    async def _stage(self, world: World, assignment: Assignment, label: str, priority: float, arrays: bool) -> Done:
        shop = self._shop
        recipe = world.stage(assignment)
        key = key_of(recipe)
        tokens = world.num_tokens(assignment)
        if entry := await self._trained(key, assignment, arrays):
            return entry, StageRecord(key, "train", "", label, "cached", tokens=tokens)
        site = self._site(world, assignment)
        task = Task(
            label=label,
            settings=world.trainer,
            epochs=assignment.epochs,
            horizon_epochs=assignment.horizon_epochs,
            seed=seed_of(self._plain_key(key), "stage"),
            snapshot_epochs=self._snapshot_epochs,
            keep_state=assignment.keep_state,
            checkpoint_every_s=self._checkpoint_every_s,
            num_sequences=world.num_sequences(assignment),
        )
        await shop.bring_back(assignment.model, assignment.client_state)
        async with shop.crew.hold_to_train(site, priority, world.trainer.ranks) as party:
            with shop.store.lease(key) as ours:
                if not ours:
                    raise Taken
                if entry := await self._trained(key, assignment, arrays):  # by another run, since the last look
                    return entry, StageRecord(key, "train", "", label, "cached", tokens=tokens)
                past = await shop.entry(assignment.client_state) if assignment.client_state else None
                checkpoint = await asyncio.to_thread(shop.store.get_partial, key)
                if checkpoint:
                    # It may come from a run that wanted no snapshots, past epochs whose models are wanted now.
                    steps_per_epoch = math.ceil(world.num_sequences(assignment) / world.trainer.batch_size)
                    finished = int(checkpoint.info["counters"]["step"]) // steps_per_epoch
                    if not self._snapshots_present(key, finished, arrays):
                        checkpoint = None
                weights = await shop.share(assignment.model)
                shop.attempt(key, "train", label, tokens, site)
                started_s = time.monotonic()
                stream = shop.backend.stream(
                    party,
                    "train",
                    world.spec,
                    task,
                    weights,
                    _train_state(past),
                    _train_state(checkpoint),
                    shop.backend.launcher(),
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
                            del state
                        case Snapshot():
                            snapshot = world.snapshot(key, event.epoch)
                            content = {"weights": event.weights}
                            await asyncio.to_thread(shop.store.put, snapshot, {"site": site}, content)
                        case Update():
                            update = event
                seconds = time.monotonic() - started_s
                assert update is not None, "a trainer ends with its update"
                state = update.client_state
                info = {
                    "site": site,
                    "metrics": dict(update.metrics),
                    "counters": dict(state.counters) if state else None,
                    "train_seconds": round(update.speed.seconds, 3),
                    "crossings": [crossing.to_json() for crossing in self._pooled.get(site, ())],
                }
                content = {**(state.arrays if state else {}), "weights": update.weights}
                entry = await asyncio.to_thread(shop.store.put, recipe, info, content)
        return entry, StageRecord(key, "train", "", label, "computed", seconds, tokens, speed=update.speed)

    async def _trained(self, key: Key, assignment: Assignment, arrays: bool) -> Entry | None:
        """The entry of a stage if nothing is missing of it."""
        entry = await self._shop.cached(key, arrays)
        return entry if entry and self._snapshots_present(key, assignment.epochs, arrays) else None

    async def _aggregate(
        self,
        instance: Instance,
        turn: Turn,
        results: list[Result],
        recipe: Mapping[str, Any],
        label: str,
        arrays: bool,
    ) -> Done:
        shop, key = self._shop, key_of(recipe)
        if entry := await shop.cached(key, arrays):
            return entry, StageRecord(key, "aggregate", "", "", "cached")
        if arrays:  # asked for again when the instance's own host is rounds ahead, or gone
            instance = replace(instance)
            self._hosts[instance] = shop.backend, shop.backend.spawn(StrategyHost, instance.strategy)
        started_s = time.monotonic()
        weights = [await shop.share(result.key) for result in results]
        await self._find_host(instance)
        shop.attempt(key, "aggregate", label, 0, instance.name)
        parent = turn.control["model"]
        tensors = None
        if self._tensors_at.get(instance) != parent:
            tensors = (await shop.entry(parent)).arrays()
            await self._call_host(instance, "adopt", turn.control)
        control, tensors = await self._call_host(instance, "aggregate", tensors, results, key, *weights)
        if arrays:
            await self.finish(instance)
        else:
            self._tensors_at[instance] = key
        entry = await asyncio.to_thread(shop.store.put, recipe, {"control": control}, tensors)
        return entry, StageRecord(key, "aggregate", "", "", "computed", time.monotonic() - started_s)

    def _site(self, world: World, assignment: Assignment) -> str:
        """The site that trains an assignment; a coalition is enlisted, and made of its members' sequences."""
        names = assignment.organizations
        if len(names) == 1:
            return names[0]
        crew, counts = self._shop.crew, world.sequences_of(assignment)
        site = "+".join(names) + (f" ({assignment.fraction:g})" if assignment.fraction < 1 else "")

        async def make() -> Any:
            parts = [await crew.call(name, "share_sequences", counts[name]) for name in names]
            self._pooled[site] = [
                Crossing.of(name, site, "sequences", part.tobytes()) for name, part in zip(names, parts, strict=True)
            ]
            return crew.backend.spawn(Coalition, site, parts)

        if site not in crew:
            crew.enlist(site, make)
        return site

    def _snapshots_present(self, key: Key, epochs: int, arrays: bool) -> bool:
        """Whether nothing is missing of the first `epochs` epochs of a stage, nor, with `arrays`, was let go."""
        store = self._shop.store
        wanted = self._snapshots(key, epochs)
        if not all(map(store.has, wanted)):
            return False
        return not arrays or not any(entry.dropped for k in wanted if (entry := store.peek(k)))

    def _snapshots(self, stage: Key, epochs: int) -> list[Key]:
        """Keys of the wanted models after each of the first `epochs` epochs of a stage."""
        return [key_of(World.snapshot(stage, e)) for e in range(1, epochs + 1)] if self._snapshot_epochs else []

    def _reach_snapshots(self, instance: Instance, turn: Turn, assignment: Assignment, key: Key) -> None:
        """Reports the models after every epoch of a stage."""
        shop, whole, past = self._shop, self._lineages[key], self._lineages[assignment.model]
        last = assignment.organizations[0] if len(assignment.organizations) == 1 else ""
        for epoch, snapshot in enumerate(self._snapshots(key, assignment.epochs), 1):
            share = epoch / assignment.epochs
            shown = {name: round(n * share) for name, n in instance.world.tokens_shown(assignment).items()}
            metrics = {"steps": round((whole.steps - past.steps) * share), "learning_rate_sum": float("nan")}
            lineage = past.trained(key, shown, metrics)
            index = turn.control["round"] * assignment.epochs + epoch
            shop.used.add(snapshot)
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
