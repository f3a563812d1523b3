"""Run contexts without a corpus, and small real studies on any backend."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import Backend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.core.keys import Key
from raysim.corpus.sources import SourceSettings
from raysim.measures.validation import validation_tasks
from raysim.organizations.client_stats import ClientStats
from raysim.organizations.data_policy import DataPolicy
from raysim.organizations.organization import ModelSpec, Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
from raysim.simulation.executor import TrainedModel, TrainingExecutor
from raysim.simulation.loop import StrategyRun, simulate, strategy_runs
from raysim.simulation.planner import Plan, plan
from raysim.simulation.registry import resolve
from raysim.simulation.run_context import RunContext
from raysim.simulation.validated_rounds import ValidatedRounds
from raysim.store.model_scores import ModelScores
from raysim.store.retention import Keep, Retention, Write
from raysim.store.store import Store
from raysim.store.task_log import TaskLog, TaskRecord, read_log
from raysim.tasks.executor import TaskExecutor
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings

MakeContext = Callable[..., RunContext]


@pytest.fixture
def make_context() -> MakeContext:
    """Makes a run context of named organizations and their numbers of sequences; no corpus, no model is behind it."""

    def make(sequences: dict[str, int], seed: int = 1, **trainer: Any) -> RunContext:
        def stats(name: str, count: int) -> ClientStats:
            splits = {"train": {"sequences": count, "tokens": 64 * count}}
            return ClientStats(name, f"train {name}", f"valid {name}", splits, (), {}, 0, ((1, 9),))

        return RunContext(
            spec=ModelSpec(ModelSettings(config={"model_type": "gpt2", "n_layer": 1}), 300, 0, 64),
            trainer=TrainerSettings(**{"epochs": 4, "sequence_length": 64, **trainer}),
            tokenizer="tokenizer",
            client_stats={name: stats(name, count) for name, count in sequences.items()},
            split_seed=1,
            seed=seed,
            libraries="2",
            bf16=True,
        )

    return make


@pytest.fixture
def strategy_runs_of() -> Callable[..., list[StrategyRun]]:
    """The strategy runs of entries of an experiment's list of strategies in a run context."""

    def make(context: RunContext, entries: list[Any]) -> list[StrategyRun]:
        return [run for entry in entries for run in strategy_runs(resolve(entry, "strategies"), context)]

    return make


class Recorder:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.records: list[TaskRecord] = []
        self.notes: list[str] = []
        self.started_keys: list[Key] = []
        self.scores: list[ModelScores] = []

    def started(self, key: Key, kind: str, label: str, tokens: int) -> None:
        self.started_keys.append(key)

    def progressed(self, key: Key, tokens: int, note: str, loss: float | None = None) -> None:
        assert key in self.started_keys

    def ended(self, record: TaskRecord) -> None:
        self.records.append(record)

    def measured(self, scores: ModelScores) -> None:
        self.scores.append(scores)

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class RunResults:
    """What a small run left behind."""

    store: Store
    context: RunContext
    plan: Plan
    rows: list[dict[str, Any]]
    used: set[Key]
    observer: Recorder
    reached: list[TrainedModel] = field(default_factory=list)

    def keys(self, kind: str, status: str | None = None) -> list[Key]:
        """Keys of the logged work of a kind, once for each line."""
        return [r["key"] for r in self.rows if r["kind"] == kind and status in (None, r["status"])]

    def weights(self) -> dict[Key, np.ndarray]:
        """The weights of all models of this study."""
        return {key: np.array(entry.array("weights")) for key in sorted(self.used) if (entry := self.store.get(key))}


RunStudy = Callable[..., RunResults]


@pytest.fixture(scope="session")
def run_study(
    tmp_path_factory: pytest.TempPathFactory,
    corpus_folders: dict[str, Path],
    preparation_context: PreparationContext,
    gpt2_spec: Callable[..., ModelSpec],
) -> RunStudy:
    """Runs strategies to their end with real organizations, on a backend that the caller closes.

    A second run on the same `folder` finds the store of the first; the log of stages is that of the last run.
    """

    shards = tmp_path_factory.mktemp("shards")

    def run(
        backend: Backend,
        entries: list[Any],
        /,
        *,
        organizations: tuple[str, ...] = ("alpha", "beta"),
        folder: Path | None = None,
        slots: int = 1,
        replicas: int = 1,
        retries: int = 0,
        keep: Keep = "all",
        write: Write = "all",
        seed: int = 1,
        checkpoint_epochs: bool = False,
        checkpoint_every_s: float = 1e6,
        dropout: float = 0.1,
        choose: Callable[[RunContext], list[StrategyRun]] | None = None,
        **trainer: Any,
    ) -> RunResults:
        base = folder or tmp_path_factory.mktemp("study")

        async def perform() -> RunResults:
            observer, log = Recorder(), base / "stages.jsonl"
            pool = ActorPool(
                backend,
                Scheduler(slots, replicas),
                Retrying(RetryPolicy(retries), observer.note, backend.await_failure_detection),
            )
            client_stats = {}

            def register(name: str) -> None:
                async def make() -> Any:
                    source = SourceSettings(path=str(corpus_folders[name]))
                    settings = OrganizationSettings(source=source, agreement=DataPolicy(share="data"))
                    actor = backend.spawn(Organization, name, settings, base, str(shards))
                    client_stats[name] = await backend.call(actor, "prepare", preparation_context)
                    return actor

                pool.register(name, make)

            for name in organizations:
                register(name)
                await pool.any(name)
            defaults = {"epochs": 2, "sequence_length": 64, "batch_size": 8, "learning_rate": 3e-3}
            tokenizer = preparation_context.tokenizer
            assert tokenizer is not None
            context = RunContext(
                spec=gpt2_spec(dropout, tokenizer.vocab_size),
                trainer=TrainerSettings(**{**defaults, **trainer}),
                tokenizer=tokenizer.fingerprint,
                client_stats=client_stats,
                split_seed=1,
                seed=seed,
                libraries=version("torch"),
                bf16=True,
            )
            if choose is not None:
                chosen = choose(context)
            else:
                chosen = [run for entry in entries for run in strategy_runs(resolve(entry, "strategies"), context)]
            planned = await plan(chosen)
            log.unlink(missing_ok=True)
            retention = Retention(keep, planned.recipes, planned.leaves, write=write)
            executor = TaskExecutor(Store(base / "store"), pool, retention, TaskLog(log), "session", observer)
            results = RunResults(executor.store, context, planned, [], executor.used, observer)
            runner = TrainingExecutor(
                executor,
                planned.urgency(),
                checkpoint_every_s,
                lambda _: checkpoint_epochs,
                results.reached.append,
                ValidatedRounds(executor, validation_tasks([])),
            )
            await asyncio.gather(*(simulate(strategy_run, runner) for strategy_run in chosen))
            results.rows = read_log(log)
            return results

        return asyncio.run(perform())

    return run
