"""Performs a run: what the loop asks for, as keyed work on sites."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from raysim.cluster.backend import Backend, InlineBackend
from raysim.core.errors import ActorLost
from raysim.core.keys import Key, key_of, seed_of
from raysim.organizations.organization import ModelHost, ModelSpec, PooledOrganization
from raysim.simulation.lineage import Lineage
from raysim.simulation.loop import StrategyRun
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ClientUpdate, ModelCheckpoint, TrainInstruction
from raysim.simulation.strategy_actor import RoundPlan, StrategyActor
from raysim.store.entries import Entry
from raysim.store.task_log import TaskRecord
from raysim.store.transfers import Transfer
from raysim.tasks.executor import LeasedElsewhere, TaskExecutor, TaskOutput, TaskResult
from raysim.training.models import initial_weights
from raysim.training.request import EpochCheckpoint, Progress, ResumeState, TrainState, TrainTask, Update


@dataclass(frozen=True)
class TrainedModel:
    """A model that exists, and how it came to be."""

    strategy_run: StrategyRun
    checkpoint: ModelCheckpoint
    lineage: Lineage

    @property
    def name(self) -> str:
        """For people: the instance, and how far it had come."""
        checkpoint = self.checkpoint
        if checkpoint.moment == "initial":
            return f"initial weights, seed {self.strategy_run.context.seed}"
        return f"{self.strategy_run.name}, {checkpoint.moment} {checkpoint.index}"


class TrainingExecutor:
    """Implements `raysim.simulation.loop.Executor`.

    Args:
        executor: does the work.
        priorities: for (instance, turn) how urgent its stages are.
        checkpoint_every_s: seconds between mid-stage checkpoints.
        checkpoint_epochs: whether models after every epoch of a stage are wanted.
        on_model: called for each model that exists; not awaited.
    """

    def __init__(
        self,
        executor: TaskExecutor,
        priorities: Mapping[tuple[StrategyRun, int], float],
        checkpoint_every_s: float,
        checkpoint_epochs: bool,
        on_model: Callable[[TrainedModel], None],
    ) -> None:
        self._executor = executor
        self._priorities = priorities
        self._checkpoint_every_s = checkpoint_every_s
        self._checkpoint_epochs = checkpoint_epochs
        self._on_model = on_model
        self._pooled: dict[str, list[Transfer]] = {}
        self._strategy_actors: dict[StrategyRun, tuple[Backend, Any]] = {}
        self._tensors_at: dict[StrategyRun, Key] = {}
        self._lineages: dict[Key, Lineage] = {}
        self._canonical: dict[Key, Key] = {}

    async def initial(self, context: RunContext) -> Entry:
        """The weights that every setting of `context` starts from, made at any organization: they depend on no data."""
        self._lineages.setdefault(context.initial_key(), Lineage())
        label = f"initial weights, seed {context.seed}"
        client = next(iter(context.client_stats))
        return await self._executor.run_on_client(
            context.initial, client, label, make_initial, context.spec, context.initial
        )

    async def begin(self, strategy_run: StrategyRun) -> RoundPlan:
        await self.initial(strategy_run.context)
        # A strategy that does not aggregate holds nothing but keys: a process for each order would only cost memory.
        backend = self._executor.backend if strategy_run.strategy.aggregates else InlineBackend()
        self._strategy_actors[strategy_run] = backend, backend.spawn(StrategyActor, strategy_run.strategy)
        return await self._ask(strategy_run, "begin", strategy_run.context.initial_key())

    async def train(
        self, strategy_run: StrategyRun, round_plan: RoundPlan, instruction: TrainInstruction
    ) -> ClientUpdate:
        context = strategy_run.context
        key = key_of(context.stage(instruction))
        label = f"{strategy_run.name}, {_moment(strategy_run, round_plan)}: {' + '.join(instruction.organizations)}"
        priority = self._priorities[strategy_run, round_plan.control["round"]]
        plain = replace(
            instruction,
            model=self._canonical_key(instruction.model),
            client_state=instruction.client_state and self._canonical_key(instruction.client_state),
        )
        self._canonical[key] = key_of(context.stage(plain, context.trainer.canonical()))

        def work(arrays: bool) -> Awaitable[TaskResult]:
            return self._stage(context, instruction, label, priority, arrays)

        # Of every stage, also where nobody asks for its snapshots: they are let go with it.
        for epoch_checkpoint in self._epoch_checkpoint_keys(key, instruction.epochs):
            self._executor.register_producer(epoch_checkpoint, key, label, work)
        entry = await self._executor.get_or_compute(key, strategy_run.label, label, work)
        shown = context.tokens_shown(instruction)
        self._lineages[key] = self._lineages[instruction.model].trained(instruction.model, shown, entry.info["metrics"])
        if self._checkpoint_epochs and not strategy_run.strategy.aggregates:
            self._report_epoch_checkpoints(strategy_run, round_plan, instruction, key)
        return ClientUpdate(instruction, key, context.num_sequences(instruction))

    async def apply(self, strategy_run: StrategyRun, round_plan: RoundPlan, results: list[ClientUpdate]) -> RoundPlan:
        if not strategy_run.strategy.aggregates:
            return await self._ask(strategy_run, "advance", results)
        parent = round_plan.control["model"]
        recipe = strategy_run.context.aggregation(strategy_run.strategy, parent, results)
        key = key_of(recipe)
        plain = [replace(result, key=self._canonical_key(result.key)) for result in results]
        self._canonical[key] = key_of(
            strategy_run.context.aggregation(strategy_run.strategy, self._canonical_key(parent), plain)
        )
        label = f"{strategy_run.name}, {_moment(strategy_run, round_plan)}: aggregation"
        entry = await self._executor.get_or_compute(
            key,
            strategy_run.label,
            label,
            lambda arrays: self._aggregate(strategy_run, round_plan, results, recipe, label, arrays),
        )
        clients = [self._lineages[r.key] for r in results]
        self._lineages[key] = self._lineages[parent].aggregated([r.key for r in results], clients)
        return await self._ask(strategy_run, "restore", entry.info["control"])

    async def reached(self, strategy_run: StrategyRun, round_plan: RoundPlan, checkpoint: ModelCheckpoint) -> None:
        self._on_model(TrainedModel(strategy_run, checkpoint, self._lineages[checkpoint.model]))

    async def finish(self, strategy_run: StrategyRun) -> None:
        backend, strategy_actor = self._strategy_actors.pop(strategy_run)
        backend.kill(strategy_actor)
        self._tensors_at.pop(strategy_run, None)

    def _canonical_key(self, key: Key) -> Key:
        """The key that a model would have if everything up to it were trained in the plainest way; see `TrainTask.seed`."""
        return self._canonical.get(key, key)

    async def _ask(self, strategy_run: StrategyRun, method: str, *args: Any) -> Any:
        """Calls the host of an instance's strategy; a lost one is replaced and asked again.

        What a host held is in the store, or comes along: `args` must be all that a new one needs.
        """
        attempt = partial(self._call_strategy_actor, strategy_run, method, *args)
        return await self._executor.pool.retrying.run(f"{strategy_run.name}: strategy", attempt)

    async def _call_strategy_actor(self, strategy_run: StrategyRun, method: str, *args: Any) -> Any:
        backend, strategy_actor = self._strategy_actors[strategy_run]
        try:
            return await backend.call(strategy_actor, method, *args)
        except ActorLost:
            self._replace_strategy_actor(strategy_run)
            raise

    def _replace_strategy_actor(self, strategy_run: StrategyRun) -> None:
        backend, strategy_actor = self._strategy_actors[strategy_run]
        backend.kill(strategy_actor)
        self._strategy_actors[strategy_run] = backend, backend.spawn(StrategyActor, strategy_run.strategy)
        self._tensors_at.pop(strategy_run, None)

    async def _ensure_strategy_actor(self, strategy_run: StrategyRun) -> None:
        """Sees to it that the host of an instance's strategy answers: it may have been lost since it last spoke."""
        backend, strategy_actor = self._strategy_actors[strategy_run]
        if not await backend.ping(strategy_actor):
            self._replace_strategy_actor(strategy_run)

    async def _stage(
        self, context: RunContext, instruction: TrainInstruction, label: str, priority: float, arrays: bool
    ) -> TaskResult:
        executor = self._executor
        recipe = context.stage(instruction)
        key = key_of(recipe)
        tokens = context.num_tokens(instruction)
        if entry := await self._trained(key, instruction, arrays):
            return entry, TaskRecord(key, "train", "", label, "cached", tokens=tokens)
        client = self._site(context, instruction)
        task = TrainTask(
            label=label,
            settings=context.trainer,
            epochs=instruction.epochs,
            horizon_epochs=instruction.horizon_epochs,
            seed=seed_of(self._canonical_key(key), "stage"),
            checkpoint_epochs=self._checkpoint_epochs,
            keep_state=instruction.keep_state,
            checkpoint_every_s=self._checkpoint_every_s,
            num_sequences=context.num_sequences(instruction),
        )
        await executor.rematerialize(instruction.model, instruction.client_state)
        async with executor.pool.acquire_for_training(client, priority, context.trainer.ranks) as actor:
            with executor.store.lease(key) as ours:
                if not ours:
                    raise LeasedElsewhere
                if entry := await self._trained(key, instruction, arrays):  # by another run, since the last look
                    return entry, TaskRecord(key, "train", "", label, "cached", tokens=tokens)
                past = await executor.entry(instruction.client_state) if instruction.client_state else None
                checkpoint = await asyncio.to_thread(executor.store.get_partial, key)
                if checkpoint:
                    # It may come from a run that wanted no snapshots, past epochs whose models are wanted now.
                    steps_per_epoch = math.ceil(context.num_sequences(instruction) / context.trainer.batch_size)
                    finished = int(checkpoint.info["counters"]["step"]) // steps_per_epoch
                    if not self._epoch_checkpoints_present(key, finished, arrays):
                        checkpoint = None
                weights = await executor.broadcast(instruction.model)
                executor.attempt(key, "train", label, tokens, client)
                started_s = time.monotonic()
                stream = executor.backend.stream(
                    actor,
                    "train",
                    context.spec,
                    task,
                    weights,
                    _train_state(past),
                    _train_state(checkpoint),
                    executor.backend.launcher(),
                )
                update = None
                async for event in stream:
                    match event:
                        case Progress():
                            note = f"epoch {event.epoch}/{instruction.epochs}, loss {event.loss:.2f}"
                            executor.observer.progressed(key, tokens * event.step // event.steps, note)
                        case ResumeState(state):
                            step, info = int(state.counters["step"]), {"counters": dict(state.counters)}
                            await asyncio.to_thread(executor.store.put_partial, recipe, step, info, state.arrays)
                            del state
                        case EpochCheckpoint():
                            epoch_checkpoint = context.epoch_checkpoint(key, event.epoch)
                            content = {"weights": event.weights}
                            await asyncio.to_thread(executor.store.put, epoch_checkpoint, {"site": client}, content)
                        case Update():
                            update = event
                seconds = time.monotonic() - started_s
                assert update is not None, "a trainer ends with its update"
                state = update.client_state
                info = {
                    "site": client,
                    "metrics": dict(update.metrics),
                    "counters": dict(state.counters) if state else None,
                    "train_seconds": round(update.speed.seconds, 3),
                    "crossings": [transfer.to_json() for transfer in self._pooled.get(client, ())],
                }
                content = {**(state.arrays if state else {}), "weights": update.weights}
                entry = await asyncio.to_thread(executor.store.put, recipe, info, content)
        return entry, TaskRecord(key, "train", "", label, "computed", seconds, tokens, speed=update.speed)

    async def _trained(self, key: Key, instruction: TrainInstruction, arrays: bool) -> Entry | None:
        """The entry of a stage if nothing is missing of it."""
        entry = await self._executor.cached(key, arrays)
        return entry if entry and self._epoch_checkpoints_present(key, instruction.epochs, arrays) else None

    async def _aggregate(
        self,
        strategy_run: StrategyRun,
        round_plan: RoundPlan,
        results: list[ClientUpdate],
        recipe: Mapping[str, Any],
        label: str,
        arrays: bool,
    ) -> TaskResult:
        executor, key = self._executor, key_of(recipe)
        if entry := await executor.cached(key, arrays):
            return entry, TaskRecord(key, "aggregate", "", "", "cached")
        if arrays:  # asked for again when the instance's own host is rounds ahead, or gone
            strategy_run = replace(strategy_run)
            self._strategy_actors[strategy_run] = (
                executor.backend,
                executor.backend.spawn(StrategyActor, strategy_run.strategy),
            )
        started_s = time.monotonic()
        weights = [await executor.broadcast(result.key) for result in results]
        await self._ensure_strategy_actor(strategy_run)
        executor.attempt(key, "aggregate", label, 0, strategy_run.name)
        parent = round_plan.control["model"]
        tensors = None
        if self._tensors_at.get(strategy_run) != parent:
            tensors = (await executor.entry(parent)).arrays()
            await self._call_strategy_actor(strategy_run, "restore", round_plan.control)
        control, tensors = await self._call_strategy_actor(strategy_run, "aggregate", tensors, results, key, *weights)
        if arrays:
            await self.finish(strategy_run)
        else:
            self._tensors_at[strategy_run] = key
        entry = await asyncio.to_thread(executor.store.put, recipe, {"control": control}, tensors)
        return entry, TaskRecord(key, "aggregate", "", "", "computed", time.monotonic() - started_s)

    def _site(self, context: RunContext, instruction: TrainInstruction) -> str:
        """The site that trains an assignment; a coalition is enlisted, and made of its members' sequences."""
        names = instruction.organizations
        if len(names) == 1:
            return names[0]
        pool, counts = self._executor.pool, context.sequences_of(instruction)
        client = "+".join(names) + (f" ({instruction.fraction:g})" if instruction.fraction < 1 else "")

        async def make() -> Any:
            parts = [await pool.call(name, "share_sequences", counts[name]) for name in names]
            self._pooled[client] = [
                Transfer.of(name, client, "sequences", part.tobytes()) for name, part in zip(names, parts, strict=True)
            ]
            return pool.backend.spawn(PooledOrganization, client, parts)

        if client not in pool:
            pool.register(client, make)
        return client

    def _epoch_checkpoints_present(self, key: Key, epochs: int, arrays: bool) -> bool:
        """Whether nothing is missing of the first `epochs` epochs of a stage, nor, with `arrays`, was let go."""
        store = self._executor.store
        wanted = self._epoch_checkpoint_keys(key, epochs)
        if not all(map(store.has, wanted)):
            return False
        return not arrays or not any(entry.dropped for k in wanted if (entry := store.peek(k)))

    def _epoch_checkpoint_keys(self, stage: Key, epochs: int) -> list[Key]:
        """Keys of the wanted models after each of the first `epochs` epochs of a stage."""
        return (
            [key_of(RunContext.epoch_checkpoint(stage, e)) for e in range(1, epochs + 1)]
            if self._checkpoint_epochs
            else []
        )

    def _report_epoch_checkpoints(
        self, strategy_run: StrategyRun, round_plan: RoundPlan, instruction: TrainInstruction, key: Key
    ) -> None:
        """Reports the models after every epoch of a stage."""
        executor, whole, past = self._executor, self._lineages[key], self._lineages[instruction.model]
        last = instruction.organizations[0] if len(instruction.organizations) == 1 else ""
        for epoch, epoch_checkpoint in enumerate(self._epoch_checkpoint_keys(key, instruction.epochs), 1):
            share = epoch / instruction.epochs
            shown = {name: round(n * share) for name, n in strategy_run.context.tokens_shown(instruction).items()}
            metrics = {"steps": round((whole.steps - past.steps) * share), "learning_rate_sum": float("nan")}
            lineage = past.trained(key, shown, metrics)
            index = round_plan.control["round"] * instruction.epochs + epoch
            executor.used.add(epoch_checkpoint)
            self._on_model(
                TrainedModel(strategy_run, ModelCheckpoint(epoch_checkpoint, "epoch", index, False, last), lineage)
            )


def make_initial(client: ModelHost, spec: ModelSpec, recipe: dict[str, Any]) -> TaskOutput:
    """A visitor that builds the initial weights."""
    weights, info = initial_weights(spec.settings, spec.vocab_size, spec.bos_id, spec.context, recipe)
    return TaskOutput(info, {"weights": weights})


def _train_state(entry: Entry | None) -> TrainState | None:
    """The optimizer (of a finished stage) or everything (of a checkpoint) in `entry`."""
    return None if entry is None else TrainState(entry.arrays(), entry.info["counters"])


def _moment(strategy_run: StrategyRun, round_plan: RoundPlan) -> str:
    return f"{'round' if strategy_run.strategy.aggregates else 'stage'} {round_plan.control['round'] + 1}"
