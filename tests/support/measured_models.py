"""Organizations, an executor of keyed work and the initial model in this process: what measures need of a run."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from audited import CONFIG, tokenizer_of
from studies import Recorder

from raysim.core.keys import Key
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.sources import SourceSettings
from raysim.corpus.split import SplitSettings, split_of
from raysim.experiment.plan import inline_pool
from raysim.measures.base import EvalContext
from raysim.measures.validation import validation_tasks
from raysim.organizations.data_policy import DataPolicy
from raysim.organizations.organization import ModelSpec, Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
from raysim.simulation.executor import TrainedModel, TrainingExecutor
from raysim.simulation.lineage import Lineage
from raysim.simulation.loop import strategy_runs
from raysim.simulation.registry import resolve
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.simulation.validated_rounds import ValidatedRounds
from raysim.store.retention import Retention
from raysim.store.store import Store
from raysim.store.task_log import TaskLog, read_log
from raysim.tasks.executor import TaskExecutor
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings

LENGTH = 32
CONTEXT = 64


class MeasuredModels:
    """A run that has come as far as its initial model.

    Attributes:
        organizations: by name; of their files one in three is for validation.
        context: what measures know of the run.
        executor: does keyed work.
        observer: receives its progress.
    """

    def __init__(self, folder: Path, texts: Mapping[str, Mapping[str, str]], policy: DataPolicy | None = None) -> None:
        self._log, self.observer = folder / "stages.jsonl", Recorder()
        tokenizer = tokenizer_of([text for files in texts.values() for text in files.values()])
        preparation = PreparationSettings.off().model_copy(update={"split": SplitSettings(valid=0.34)})
        split_seed = _splitting_seed(texts, preparation.split)
        prepared = PreparationContext(preparation, split_seed, tokenizer, LENGTH, 2)
        pool, client_stats = inline_pool(), {}
        self.organizations: dict[str, Organization] = {}
        for name, files in texts.items():
            code = folder / name / "code"  # named alike, so that equal files are split alike
            code.mkdir(parents=True)
            for path, text in files.items():
                (code / path).write_text(text, encoding="utf-8")
            settings = OrganizationSettings(source=SourceSettings(path=str(code)))
            organization = Organization(name, settings, folder, "cache")
            client_stats[name] = organization.prepare(prepared)
            self.organizations[name] = organization
            pool.register(name, _maker(organization))
        run = RunContext(
            spec=ModelSpec(ModelSettings(config=CONFIG), tokenizer.vocab_size, tokenizer.bos_id, CONTEXT),
            trainer=TrainerSettings(sequence_length=LENGTH),
            tokenizer=tokenizer.fingerprint,
            client_stats=client_stats,
            split_seed=split_seed,
            seed=1,
            libraries="libraries",
            bf16=False,
        )
        policies = dict.fromkeys(texts, policy or DataPolicy())
        self.context = EvalContext(run, tokenizer, (), policies, None, folder)
        store, retention = Store(folder / "store"), Retention("all", {}, frozenset())
        self.executor = TaskExecutor(store, pool, retention, TaskLog(self._log), "session", self.observer)
        self._strategy_run = strategy_runs(resolve("single", "strategies"), run)[0]

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Waits for `work` to end, once the initial model is there."""

        async def perform() -> Any:
            validated = ValidatedRounds(self.executor, validation_tasks([]))
            trainer = TrainingExecutor(self.executor, {}, 1e6, lambda _: False, lambda _: None, validated)
            await trainer.initial(self.context.run)
            return await work()

        return asyncio.run(perform())

    def model(self, key: Key | None = None, *trained_on: str) -> TrainedModel:
        """A model by key, or the initial one; it has seen the training splits of some organizations."""
        checkpoint = ModelCheckpoint(key or self.context.run.initial_key(), "stage", 1, True)
        return TrainedModel(self._strategy_run, checkpoint, Lineage(tokens_seen=dict.fromkeys(trained_on, 1)))

    def done(self, status: str = "computed") -> list[str]:
        """Kinds of the work that has ended so, in order, but for the initial weights."""
        return [r["kind"] for r in read_log(self._log) if r["status"] == status and r["kind"] != "initial"]


def _maker(organization: Organization) -> Callable[[], Awaitable[Organization]]:
    async def make() -> Organization:
        return organization

    return make


def _splitting_seed(texts: Mapping[str, Mapping[str, str]], split: SplitSettings) -> int:
    """The first seed under which everybody has validation files, and more training files."""

    def fits(seed: int, files: Mapping[str, str]) -> bool:
        falls = [split_of(text, split, seed) for text in files.values()]
        return 0 < falls.count("valid") < max(falls.count("train"), 2) and "train" in falls

    return next(seed for seed in range(1, 10_000) if all(fits(seed, files) for files in texts.values()))
