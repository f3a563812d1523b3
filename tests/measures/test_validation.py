"""Validation of rounds is the work of the measure `perplexity`, by its keys."""

import math
from pathlib import Path

import pytest
from measured_models import MeasuredModels

from raysim.measures.perplexity import Perplexity, PerplexitySettings, scoring_recipe
from raysim.measures.validation import known_losses, validation_tasks
from raysim.simulation.loop import StrategyRun, strategy_runs
from raysim.simulation.registry import resolve
from raysim.simulation.strategy import ModelCheckpoint

TEXTS = {name: {f"{i}.py": f"{name}_{i} = {i}\n" * 9 for i in range(3)} for name in ("alpha", "beta")}


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS)


def runs(models: MeasuredModels) -> list[StrategyRun]:
    return strategy_runs(resolve({"fedavg": {"leave_one_out": True}}, "strategies"), models.context.run)


def test_it_is_what_perplexity_does_at_the_members(models: MeasuredModels) -> None:
    measure, model = Perplexity(PerplexitySettings(batch_size=3)), models.context.run.initial_key()
    checkpoint = ModelCheckpoint(model, "round", 1, False)
    measured = {task.key: task.organization for task in measure.tasks(models.context, checkpoint)}
    tasks = validation_tasks([measure])
    found = [{measured[task.key] for task in tasks(run, model)} for run in runs(models)]
    assert found == [{"alpha", "beta"}, {"beta"}, {"alpha"}]


def test_without_the_measure_its_default_is_taken(models: MeasuredModels) -> None:
    model = models.context.run.initial_key()
    task, _ = validation_tasks([])(runs(models)[0], model)
    assert task.recipe == scoring_recipe(models.context.run, model, "alpha", PerplexitySettings().batch_size)


def test_a_loss_is_known_once_all_members_have_scored(models: MeasuredModels) -> None:
    whole, model, tasks = runs(models)[0], models.context.run.initial_key(), validation_tasks([])
    known = known_losses(tasks, models.executor.store)
    alpha, beta = tasks(whole, model)
    models.run(lambda: models.executor.run_on_client(alpha))
    assert known(whole, model) is None
    entry = models.run(lambda: models.executor.run_on_client(beta))
    store = models.executor.store
    entries = [found for key in (alpha.key, beta.key) if (found := store.peek(key))]
    rows = [row for found in entries for row in found.table("losses").to_pylist()]
    loss = known(whole, model)
    assert loss is not None
    assert math.isclose(loss, sum(row["nats"] for row in rows) / sum(row["tokens"] for row in rows))
    (entry.folder / "losses.parquet").write_bytes(b"damaged")
    assert known(whole, model) is None
