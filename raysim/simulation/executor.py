"""Carries out a run: what the loop asks for, as keyed work of clients and strategies."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from raysim.cluster.backend import Shared
from raysim.core.errors import Diverged, RunError
from raysim.core.keys import Key, key_of, seed_of
from raysim.simulation.base_model import BASE
from raysim.simulation.importance import find_importances, importance_buffers, importance_keys
from raysim.simulation.lineage import Lineage
from raysim.simulation.loop import StrategyRun
from raysim.simulation.objective_buffers import objective_buffers
from raysim.simulation.pooled_clients import PooledClients
from raysim.simulation.round_norms import RoundNorms, told
from raysim.simulation.run_context import RunContext
from raysim.simulation.stage import Stage
from raysim.simulation.strategy import ClientUpdate, ModelCheckpoint, TrainInstruction, uploads
from raysim.simulation.strategy_actor import RoundPlan
from raysim.simulation.strategy_actors import StrategyActors
from raysim.simulation.uploads import disclosed_shares, upload_buffers
from raysim.simulation.validated_rounds import ValidatedRounds
from raysim.store.entries import Entry
from raysim.store.task_log import TaskRecord
from raysim.tasks.executor import LeasedElsewhere, TaskExecutor, TaskResult
from raysim.tasks.kinds import AGGREGATE, TRAIN
from raysim.tasks.task import ArrayPolicy, Task, TaskOutput
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import initial_weights
from raysim.training.request import EpochCheckpoint, Progress, ResumeState, TrainRequest, TrainState, TrainTask, Update
from raysim.training.upload_form import WEIGHTS


@dataclass(frozen=True)
class TrainedModel:
    """A model that exists, and how it came to be."""

    strategy_run: StrategyRun
    checkpoint: ModelCheckpoint
    lineage: Lineage

    @property
    def name(self) -> str:
        """For people: the strategy run, and how far it had come."""
        checkpoint = self.checkpoint
        if checkpoint.moment == "initial":
            context = self.strategy_run.context
            trained = context.public or context.spec.settings.pretrained
            return BASE if trained else f"initial weights, seed {context.seed}"
        if checkpoint.moment == "upload":
            return f"{self.strategy_run.name}, upload of {checkpoint.last} in round {checkpoint.index}"
        return f"{self.strategy_run.name}, {checkpoint.moment} {checkpoint.index}"


class TrainingExecutor:
    """Implements `raysim.simulation.loop.Executor`.

    Args:
        executor: does the work.
        priorities: for (strategy run, round) how urgent its stages are.
        checkpoint_every_s: seconds between resume states.
        checkpoint_epochs: whether models after every epoch of a stage that these organizations train are wanted.
        on_model: called for each model that exists; not awaited.
        validated: says when rounds end early.

    Attributes:
        rounds: norms of the rounds that have ended.
    """

    def __init__(
        self,
        executor: TaskExecutor,
        priorities: Mapping[tuple[StrategyRun, int], float],
        checkpoint_every_s: float,
        checkpoint_epochs: Callable[[Sequence[str]], bool],
        on_model: Callable[[TrainedModel], None],
        validated: ValidatedRounds,
    ) -> None:
        self._executor = executor
        self._priorities = priorities
        self._checkpoint_every_s = checkpoint_every_s
        self._checkpoint_epochs = checkpoint_epochs
        self._on_model = on_model
        self._validated = validated
        self.rounds: list[RoundNorms] = []
        self._pooled = PooledClients(executor.pool)
        self._strategy_actors = StrategyActors(executor.pool)
        self._lineages: dict[Key, Lineage] = {}
        self._canonical: dict[Key, Key] = {}
        self._uploads: dict[Key, Mapping[str, Any]] = {}

    async def initial(self, context: RunContext) -> Entry:
        """The weights before any training, made at any organization: they depend on no data."""
        self._lineages.setdefault(context.initial_key(), Lineage())
        label = f"initial weights, seed {context.seed}"
        client = next(iter(context.client_stats))
        arguments = context.spec, context.initial
        return await self._executor.run_on_client(Task(context.initial, label, client, make_initial, arguments))

    async def begin(self, strategy_run: StrategyRun) -> RoundPlan:
        await self.initial(strategy_run.context)
        await self._pretrain(strategy_run.context)
        self._strategy_actors.make(strategy_run)
        return await self._strategy_actors.ask(strategy_run, "begin", strategy_run.context.start)

    async def _pretrain(self, context: RunContext) -> None:
        """Trains the base, if there is to be one; all strategy runs wait for the same work."""
        stage, public = context.pretraining, context.public
        if stage is None or public is None:
            return
        label = f"{BASE}: pretraining"
        self._canonical[stage.key] = self._canonical_stage_key(public, stage.instruction)
        work = partial(self._train_stage, public, stage, label, math.inf)
        for epoch_checkpoint in self._epoch_checkpoint_keys(stage, stage.instruction.epochs):
            self._executor.register_producer(epoch_checkpoint, stage.key, label, work)
        await self._executor.get_or_compute(stage.key, BASE, label, work)
        # Budgets say what organizations' code was worth of training; that of the base is the same for all.
        self._lineages.setdefault(stage.key, Lineage(parents=(stage.instruction.model,)))

    async def train(
        self, strategy_run: StrategyRun, round_plan: RoundPlan, instruction: TrainInstruction
    ) -> ClientUpdate:
        context, stage = strategy_run.context, strategy_run.context.stage(instruction)
        label = f"{strategy_run.name}, {_moment(strategy_run, round_plan)}: {' + '.join(instruction.organizations)}"
        priority = self._priorities[strategy_run, round_plan.control["round"]]
        self._canonical[stage.key] = self._canonical_stage_key(context, instruction)
        await find_importances(self._executor, context, instruction, strategy_run.name, priority)

        def work(policy: ArrayPolicy) -> Awaitable[TaskResult]:
            return self._train_stage(context, stage, label, priority, policy)

        # Of every stage, also where nobody asks for its epoch checkpoints: they are evicted with it.
        for epoch_checkpoint in self._epoch_checkpoint_keys(stage, instruction.epochs):
            self._executor.register_producer(epoch_checkpoint, stage.key, label, work)
        entry = await self._executor.get_or_compute(stage.key, strategy_run.label, label, work)
        if upload := entry.info.get("upload"):
            self._uploads[stage.key] = upload
        past, metrics = self._lineages[instruction.model], entry.info["metrics"]
        self._lineages[stage.key] = past.trained(instruction.model, stage.tokens_seen, metrics)
        if not strategy_run.strategy.aggregates:
            self._report_epoch_checkpoints(strategy_run, round_plan, stage)
        return ClientUpdate(instruction, stage.key, stage.num_sequences, metrics=metrics)

    async def apply(self, strategy_run: StrategyRun, round_plan: RoundPlan, results: list[ClientUpdate]) -> RoundPlan:
        if not strategy_run.strategy.aggregates:
            return await self._strategy_actors.ask(strategy_run, "advance", results)
        parent = round_plan.control["model"]
        recipe = strategy_run.context.aggregation(strategy_run.strategy, parent, results)
        key = key_of(recipe)
        canonical = [replace(result, key=self._canonical_key(result.key)) for result in results]
        self._canonical[key] = key_of(
            strategy_run.context.aggregation(strategy_run.strategy, self._canonical_key(parent), canonical)
        )
        label = f"{strategy_run.name}, {_moment(strategy_run, round_plan)}: aggregation"
        entry = await self._executor.get_or_compute(
            key,
            strategy_run.label,
            label,
            lambda policy: self._aggregate(strategy_run, round_plan, results, key, recipe, label, policy),
        )
        clients = [self._lineages[r.key] for r in results]
        self._lineages[key] = self._lineages[parent].aggregated([r.key for r in results] or [parent], clients)
        planned = await self._strategy_actors.plan_after(strategy_run, key, entry.info["control"])
        planned = await self._validated.after(strategy_run, planned)
        if strategy_run.strategy.family != "federated":
            return planned
        index = planned.control["round"]
        seed, order = strategy_run.context.seed, strategy_run.strategy.order
        sent = {result.key: self._uploads[result.key] for result in results if result.key in self._uploads}
        self.rounds.append(RoundNorms(seed, strategy_run.label, order, index, key, results, entry.info, sent))
        for checkpoint in uploads(results, key, index, planned.checkpoints):
            self._on_model(TrainedModel(strategy_run, checkpoint, self._lineages[checkpoint.model]))
        return planned

    async def reached(self, strategy_run: StrategyRun, round_plan: RoundPlan, checkpoint: ModelCheckpoint) -> None:
        lineage = self._lineages[checkpoint.model]
        if strategy_run.strategy.family == "given":  # on how much, nobody knows
            lineage = replace(lineage, tokens_seen=dict.fromkeys(strategy_run.strategy.members, 0))
        self._on_model(TrainedModel(strategy_run, checkpoint, lineage))

    async def finish(self, strategy_run: StrategyRun) -> None:
        self._strategy_actors.end(strategy_run)
        await self._executor.flush()

    async def stop(self, strategy_run: StrategyRun, why: str) -> None:
        """Raises a `RunError` that says why."""
        raise RunError(f"{strategy_run.name}: {why}; what was trained is kept, and the same command ends here again")

    def _canonical_key(self, key: Key) -> Key:
        """The key of a model, had everything up to it been trained with canonical settings; see `TrainTask.seed`."""
        return self._canonical.get(key, key)

    def _canonical_stage_key(self, context: RunContext, instruction: TrainInstruction) -> Key:
        """As `_canonical_key`, of a stage that is about to begin."""
        canonical = replace(
            instruction,
            model=self._canonical_key(instruction.model),
            client_state=instruction.client_state and self._canonical_key(instruction.client_state),
            objective_state=instruction.objective_state and self._canonical_key(instruction.objective_state),
            upload=None,
            upload_state=None,
            importances=tuple(replace(one, model=self._canonical_key(one.model)) for one in instruction.importances),
        )
        return key_of(context.stage_recipe(canonical, context.trainer.canonical()))

    async def _train_stage(
        self, context: RunContext, stage: Stage, label: str, priority: float, policy: ArrayPolicy
    ) -> TaskResult:
        executor, instruction, key = self._executor, stage.instruction, stage.key
        cached = TaskRecord(key, TRAIN.name, "", label, "cached", tokens=stage.tokens)
        if entry := await self._trained(stage, policy):
            return entry, cached
        client = self._pooled.client_of(context, stage)
        past_stages = (instruction.client_state, instruction.objective_state, instruction.upload_state)
        await executor.rematerialize(instruction.model, *past_stages, *importance_keys(context, instruction))
        replayed, given = await self._pooled.replayed(stage)
        weights = executor.in_passing(instruction.model)
        async with executor.pool.acquire_for_training(client, priority, context.trainer.ranks) as actor:
            with ExitStack() as lease:
                if not lease.enter_context(executor.store.lease(key)):
                    raise LeasedElsewhere
                if entry := await self._trained(stage, policy):  # by another run, since the last look
                    return entry, cached
                past = await executor.entry(instruction.client_state) if instruction.client_state else None
                resume = await self._resume_state(context, stage, policy)
                sent, buffers = await objective_buffers(executor, instruction)
                fisher, transfers = await importance_buffers(executor, context, instruction, client)
                task = self._task(context, stage, label)
                state = _train_state(past)
                kept = await upload_buffers(executor, instruction)
                request = TrainRequest(
                    context.spec,
                    task,
                    state,
                    resume,
                    objective_buffers=buffers | fisher,
                    upload_buffers=kept,
                    replayed=replayed,
                )
                if weights is None:
                    weights = await executor.broadcast(instruction.model)
                executor.attempt(key, TRAIN.name, label, stage.tokens, client)
                started_s = time.monotonic()
                launcher = executor.backend.launcher(context.trainer, executor.pool.node_of(client))
                stream = executor.backend.stream(actor, "train", request, weights, launcher)
                update, trained = None, None
                async for event in stream:
                    match event:
                        case Progress():
                            note = f"epoch {event.epoch}/{instruction.epochs}, loss {event.loss:.2f}"
                            done = stage.tokens * event.step // event.steps
                            executor.observer.progressed(key, done, note, event.loss)
                        case ResumeState(state):
                            step, info = int(state.counters["step"]), {"counters": dict(state.counters)}
                            await asyncio.to_thread(executor.store.put_partial, stage.recipe, step, info, state.arrays)
                            del state
                        case EpochCheckpoint():
                            epoch_checkpoint = context.epoch_checkpoint(key, event.epoch)
                            content = {"weights": event.weights}
                            await asyncio.to_thread(executor.store.put, epoch_checkpoint, {"site": client}, content)
                        case Shared():
                            trained = event
                        case Update():
                            update = event
                seconds = time.monotonic() - started_s
                assert trained, "the weights of an update come before it"
                assert update, "a trainer ends with its update"
                state = update.client_state
                info = {
                    "site": client,
                    "metrics": dict(update.metrics),
                    "counters": dict(state.counters) if state else None,
                    "train_seconds": round(update.speed.seconds, 3),
                    "crossings": [t.to_json() for t in (*self._pooled.transfers(client), *given, *transfers)],
                    **({"objective_buffers": sent} if sent else {}),
                    **({"upload": dict(update.upload)} if update.upload else {}),
                }
                content = {**(state.arrays if state else {}), **update.objective_state, **update.upload_state}
                content[update.upload.get("array", WEIGHTS)] = trained.value
                # What it was made from is in the store before it is finished, so no more than two wait to be written.
                await executor.written(instruction.model)
                entry = await executor.put_behind(label, stage.recipe, info, content, policy, lease.pop_all().close)
                executor.hand_on(key, trained.handle)
        return entry, replace(cached, status="computed", seconds=seconds, speed=update.speed)

    def _task(self, context: RunContext, stage: Stage, label: str) -> TrainTask:
        instruction = stage.instruction
        return TrainTask(
            label=label,
            settings=context.trainer,
            epochs=instruction.epochs,
            horizon_epochs=instruction.horizon_epochs,
            seed=seed_of(self._canonical_key(stage.key), "stage"),
            checkpoint_epochs=bool(self._epoch_checkpoint_keys(stage, instruction.epochs)),
            keep_state=instruction.keep_state,
            checkpoint_every_s=self._checkpoint_every_s,
            num_sequences=stage.own_sequences,
            objective=instruction.objective,
            dropout_epochs=instruction.dropout_epochs,
            epoch_steps=instruction.epoch_steps,
            upload=instruction.upload,
            recipe=stage.recipe["trainer"],
        )

    async def _trained(self, stage: Stage, policy: ArrayPolicy) -> Entry | None:
        """The entry of a stage if nothing is missing of it."""
        entry = await self._executor.cached(stage.key, policy)
        whole = entry and self._epoch_checkpoints_present(stage, stage.instruction.epochs, policy)
        return entry if whole else None

    async def _resume_state(self, context: RunContext, stage: Stage, policy: ArrayPolicy) -> TrainState | None:
        """The state that an attempt at `stage` left behind when it was cut, if it is of use."""
        store = self._executor.store
        partial = await asyncio.to_thread(store.get_partial, stage.key) if store.has_partial(stage.key) else None
        if partial is None:
            return None
        # It may come from a run that wanted no epoch checkpoints, past epochs whose models are wanted now.
        per_pass = math.ceil(stage.num_sequences / context.trainer.batch_size)
        steps_per_epoch = stage.instruction.epoch_steps or per_pass
        finished = int(partial.info["counters"]["step"]) // steps_per_epoch
        return _train_state(partial) if self._epoch_checkpoints_present(stage, finished, policy) else None

    async def _aggregate(
        self,
        strategy_run: StrategyRun,
        round_plan: RoundPlan,
        results: list[ClientUpdate],
        key: Key,
        recipe: Mapping[str, Any],
        label: str,
        policy: ArrayPolicy,
    ) -> TaskResult:
        executor, actors = self._executor, self._strategy_actors
        if entry := await executor.cached(key, policy):
            return entry, TaskRecord(key, AGGREGATE.name, "", "", "cached")
        again = policy is ArrayPolicy.REMATERIALIZE
        if again:  # the strategy's own actor is rounds ahead by now, or gone
            strategy_run = replace(strategy_run)
            actors.make(strategy_run)
        started_s = time.monotonic()
        weights = [await executor.broadcast(result.key) for result in results]
        await actors.ensure(strategy_run)
        executor.attempt(key, AGGREGATE.name, label, 0, strategy_run.name)
        parent = round_plan.control["model"]
        tensors = actors.tensors(strategy_run, parent)
        if tensors is None:
            tensors = (await executor.entry(parent)).arrays()
            await actors.call(strategy_run, "restore", round_plan.control)
        given = *(result.key for result in results), parent
        let_go = partial(executor.let_go, given, key)
        aggregated, shared = await actors.aggregate(strategy_run, tensors, results, key, weights, let_go)
        del tensors
        if again:
            actors.end(strategy_run)
        await executor.written(parent)  # so no more than one round waits to be written
        info: dict[str, Any] = {"control": aggregated.control, "norms": aggregated.norms}
        if disclosed := disclosed_shares(results):
            info["crossings"] = [transfer.to_json() for transfer in disclosed]
        try:
            content = {name: one.value for name, one in shared.items()}
            entry = await executor.put_behind(label, recipe, info, content, policy)
        except Diverged as error:
            raise Diverged(f"{error}: {told(aggregated.norms, results, recipe['strategy'])}") from None
        executor.hand_on(key, shared["weights"].handle)
        return entry, TaskRecord(key, AGGREGATE.name, "", "", "computed", time.monotonic() - started_s)

    def _epoch_checkpoints_present(self, stage: Stage, epochs: int, policy: ArrayPolicy) -> bool:
        """Whether nothing is missing of the first `epochs` epochs of a stage, nor was evicted if arrays are needed."""
        store = self._executor.store
        wanted = self._epoch_checkpoint_keys(stage, epochs)
        if not all(map(store.has, wanted)):
            return False
        if policy is ArrayPolicy.LOOKUP:
            return True
        return not any(entry.dropped for k in wanted if (entry := store.peek(k)))

    def _epoch_checkpoint_keys(self, stage: Stage, epochs: int) -> list[Key]:
        """Keys of the wanted models after each of the first `epochs` epochs of a stage.

        None of one whose update leaves in a form of its own: they would show the server more than it is to see.
        """
        if stage.instruction.upload or not self._checkpoint_epochs(stage.instruction.organizations):
            return []
        return [key_of(RunContext.epoch_checkpoint(stage.key, e)) for e in range(1, epochs + 1)]

    def _report_epoch_checkpoints(self, strategy_run: StrategyRun, round_plan: RoundPlan, stage: Stage) -> None:
        """Reports the models after every epoch of a stage."""
        instruction, whole = stage.instruction, self._lineages[stage.key]
        past = self._lineages[instruction.model]
        last = instruction.organizations[0] if len(instruction.organizations) == 1 else ""
        for epoch, key in enumerate(self._epoch_checkpoint_keys(stage, instruction.epochs), 1):
            share = epoch / instruction.epochs
            seen = {name: round(tokens * share) for name, tokens in stage.tokens_seen.items()}
            metrics = {"steps": round((whole.steps - past.steps) * share), "learning_rate_sum": float("nan")}
            index = round_plan.control["round"] * instruction.epochs + epoch
            checkpoint = ModelCheckpoint(key, "epoch", index, False, last)
            self._executor.used.add(key)
            self._on_model(TrainedModel(strategy_run, checkpoint, past.trained(stage.key, seen, metrics)))


def make_initial(client: ModelHost, spec: ModelSpec, recipe: dict[str, Any]) -> TaskOutput:
    """A client function that builds the initial weights."""
    weights, info = initial_weights(spec.settings, spec.vocab_size, spec.bos_id, spec.context, recipe)
    return TaskOutput(info, {"weights": weights})


def _train_state(entry: Entry | None) -> TrainState | None:
    """The optimizer (of a finished stage) or everything (of a resume state) in `entry`."""
    return None if entry is None else TrainState(entry.arrays(), entry.info["counters"])


def _moment(strategy_run: StrategyRun, round_plan: RoundPlan) -> str:
    return f"{'round' if strategy_run.strategy.aggregates else 'stage'} {round_plan.control['round'] + 1}"
