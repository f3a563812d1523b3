"""Worlds without a corpus, and small real studies on any backend."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysim.cluster.actor_pool import Crew
from raysim.cluster.backend import Backend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Slots
from raysim.core.keys import Key
from raysim.corpus.sources import SourceSettings
from raysim.organizations.organization import (
    Agreement,
    Inventory,
    ModelSpec,
    Organization,
    OrganizationSettings,
    Preparing,
)
from raysim.simulation.executor import ReachedModel, Runner
from raysim.simulation.loop import Instance, simulate
from raysim.simulation.planner import Plan, plan
from raysim.simulation.registry import resolve
from raysim.simulation.run_context import World
from raysim.store.retention import Keep, Retention
from raysim.store.store import Store
from raysim.store.task_log import Kind, StageLog, StageRecord, read_stages
from raysim.tasks.executor import Workshop
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world() -> MakeWorld:
    """Makes a world of named organizations with so many sequences each; no corpus, no model is behind it."""

    def make(sequences: dict[str, int], seed: int = 1, **trainer: Any) -> World:
        def inventory(name: str, count: int) -> Inventory:
            splits = {"train": {"sequences": count, "tokens": 64 * count}}
            return Inventory(name, f"train {name}", f"valid {name}", splits, (), {}, 0, ((1, 9),))

        return World(
            spec=ModelSpec(ModelSettings(config={"model_type": "gpt2", "n_layer": 1}), 300, 0, 64),
            trainer=TrainerSettings(**{"epochs": 4, "sequence_length": 64, **trainer}),
            tokenizer="tokenizer",
            inventories={name: inventory(name, count) for name, count in sequences.items()},
            split_seed=1,
            seed=seed,
            libraries="2",
            bf16=True,
        )

    return make


@pytest.fixture
def instances_of() -> Callable[..., list[Instance]]:
    """The instances of entries of an experiment's list of strategies in a world."""

    def make(world: World, entries: list[Any]) -> list[Instance]:
        found = []
        for entry in entries:
            label, strategy_class, settings = resolve(entry, "strategies")
            found += [Instance(label, s, world) for s in strategy_class.variants(settings, world.federation)]
        return found

    return make


class Recorder:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.records: list[StageRecord] = []
        self.notes: list[str] = []
        self.started_keys: list[Key] = []

    def started(self, key: Key, kind: Kind, label: str, tokens: int) -> None:
        self.started_keys.append(key)

    def progressed(self, key: Key, tokens: int, note: str) -> None:
        assert key in self.started_keys

    def ended(self, record: StageRecord) -> None:
        self.records.append(record)

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class Study:
    """What a small run left behind."""

    store: Store
    world: World
    plan: Plan
    rows: list[dict[str, Any]]
    used: set[Key]
    observer: Recorder
    reached: list[ReachedModel] = field(default_factory=list)

    def keys(self, kind: str, status: str | None = None) -> list[Key]:
        """Keys of the logged work of a kind, once for each line."""
        return [r["key"] for r in self.rows if r["kind"] == kind and status in (None, r["status"])]

    def weights(self) -> dict[Key, np.ndarray]:
        """The weights of all models of this study."""
        return {key: np.array(entry.array("weights")) for key in sorted(self.used) if (entry := self.store.get(key))}


RunStudy = Callable[..., Study]


@pytest.fixture(scope="session")
def run_study(
    tmp_path_factory: pytest.TempPathFactory,
    corpus_folders: dict[str, Path],
    preparing: Preparing,
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
        seed: int = 1,
        snapshot_epochs: bool = False,
        checkpoint_every_s: float = 1e6,
        dropout: float = 0.1,
        instances: Callable[[World], list[Instance]] | None = None,
        **trainer: Any,
    ) -> Study:
        base = folder or tmp_path_factory.mktemp("study")

        async def perform() -> Study:
            observer, log = Recorder(), base / "stages.jsonl"
            crew = Crew(backend, Slots(slots, replicas), Retrying(RetryPolicy(retries), observer.note, backend.settle))
            inventories = {}

            def enlist(name: str) -> None:
                async def make() -> Any:
                    source = SourceSettings(path=str(corpus_folders[name]))
                    settings = OrganizationSettings(source=source, agreement=Agreement(share="data"))
                    party = backend.spawn(Organization, name, settings, base, shards / name)
                    inventories[name] = await backend.call(party, "prepare", preparing)
                    return party

                crew.enlist(name, make)

            for name in organizations:
                enlist(name)
                await crew.any(name)
            defaults = {"epochs": 2, "sequence_length": 64, "batch_size": 8, "learning_rate": 3e-3}
            world = World(
                spec=gpt2_spec(dropout, preparing.tokenizer.vocab_size),
                trainer=TrainerSettings(**{**defaults, **trainer}),
                tokenizer=preparing.tokenizer.fingerprint,
                inventories=inventories,
                split_seed=1,
                seed=seed,
                libraries=version("torch"),
                bf16=True,
            )
            if instances is not None:
                chosen = instances(world)
            else:
                chosen = []
                for entry in entries:
                    label, strategy_class, settings = resolve(entry, "strategies")
                    variants = strategy_class.variants(settings, world.federation)
                    chosen += [Instance(label, strategy, world) for strategy in variants]
            planned = await plan(chosen)
            log.unlink(missing_ok=True)
            retention = Retention(keep, planned.recipes, planned.leaves)
            shop = Workshop(Store(base / "store"), crew, retention, StageLog(log), "session", observer)
            study = Study(shop.store, world, planned, [], shop.used, observer)
            runner = Runner(shop, planned.urgency(), checkpoint_every_s, snapshot_epochs, study.reached.append)
            await asyncio.gather(*(simulate(instance, runner) for instance in chosen))
            study.rows = read_stages(log)
            return study

        return asyncio.run(perform())

    return run
