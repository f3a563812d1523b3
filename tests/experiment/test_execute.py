"""An experiment performed in this process: all that was planned, and nothing twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from loaded_experiments import loaded
from studies import Recorder

from raysim.core.errors import RunError
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.execute import ExecutedRun, execute
from raysim.experiment.plan import RunPlan, inline_pool, plan_run
from raysim.store.retention import Retention
from raysim.store.store import Store
from raysim.store.task_log import read_log


class Watcher(Recorder):
    """Writes down the phases, too."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[str] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def expect(self, tokens: Any, planned: Any) -> None: ...

    def point(self, name: str, number: int, total: int, later: Any) -> None: ...

    def counts(self) -> dict[str, int]:
        return {}


@pytest.fixture
def experiment(corpus_folders: dict[str, Path]) -> LoadedExperiment:
    return experiment_of(corpus_folders)


def experiment_of(folders: dict[str, Path], **trainer: Any) -> LoadedExperiment:
    """Alpha and beta, each alone, and the perplexity of every model on either."""
    off = {"min_assignments": 0, "min_characters_per_token": 0, "no_keyword_drop_probability": 0}
    return loaded(
        organizations={name: {"source": {"path": str(folders[name])}} for name in ("alpha", "beta")},
        references=[{"path": str(folders["gamma"])}],
        tokenizer={"train": {"vocab_size": 300}},
        preparation={**off, "config_or_test_drop_probability": 0, "split": {"valid": 0.3}},
        model={"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}},
        trainer={"epochs": 1, "sequence_length": 64, **trainer},
        measure={"perplexity": {}},
    )


def perform(experiment: LoadedExperiment, folder: Path, watcher: Watcher) -> tuple[RunPlan, ExecutedRun]:
    async def run() -> tuple[RunPlan, ExecutedRun]:
        pool, store = inline_pool(), Store(folder / "store")
        run_plan = await plan_run(experiment, pool, store)
        retention = Retention("all", run_plan.plan.recipes, run_plan.plan.leaves)
        log = folder / "stages.jsonl"
        return run_plan, await execute(experiment, run_plan, pool, store, retention, log, b"secret", watcher)

    return asyncio.run(run())


def test_every_planned_model_is_reached_and_measured(experiment: LoadedExperiment, tmp_path: Path) -> None:
    watcher = Watcher()
    run_plan, done = perform(experiment, tmp_path, watcher)
    planned = {model.checkpoint.model for model in run_plan.plan.models}
    assert len(planned) == 3  # the initial weights, and what either makes of them
    assert {model.checkpoint.model for model in done.evaluator.reached} == planned
    rows = [row for table in done.evaluator.tables["losses"] for row in table.to_pylist()]
    about = {(row["model"], row["organization"]) for row in rows}
    assert about == {(model, name) for model in planned for name in ("alpha", "beta")}
    assert run_plan.evaluations.keys() <= done.executor.used
    assert (watcher.phases, watcher.notes) == (["Training"], [])


def test_performed_again_nothing_is_computed(experiment: LoadedExperiment, tmp_path: Path) -> None:
    (_, first), (run_plan, second) = (perform(experiment, tmp_path, Watcher()) for _ in range(2))
    assert not any(run_plan.pending.values())
    rows = read_log(tmp_path / "stages.jsonl")
    assert {row["status"] for row in rows[len(rows) // 2 :]} == {"cached"}
    assert second.executor.used == first.executor.used
    first_rows, second_rows = (
        sorted(map(str, (row for table in done.evaluator.tables["losses"] for row in table.to_pylist())))
        for done in (first, second)
    )
    assert second_rows == first_rows  # in whatever order pieces of work ended


def test_a_failed_stage_ends_the_run_and_leaves_no_model(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    experiment = experiment_of(corpus_folders, learning_rate=1e30, epochs=4)
    with pytest.raises(RunError, match=r"single (alpha|beta), stage 1"):
        perform(experiment, tmp_path, Watcher())
    assert "train" not in {row["kind"] for row in read_log(tmp_path / "stages.jsonl") if row["status"] == "computed"}
