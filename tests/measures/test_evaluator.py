"""What is measured of models as they come: tasks at once, and generation in waves or at the end."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from measured_models import MeasuredModels

from raysim.core.errors import RunError
from raysim.core.settings import Settings
from raysim.measures.base import ClientTask, EvalContext, Measure
from raysim.measures.evaluator import Evaluator
from raysim.organizations.organization import Organization
from raysim.simulation.executor import TrainedModel
from raysim.simulation.strategy import ModelCheckpoint
from raysim.tables.spec import REAL, TEXT, table_spec
from raysim.tasks.batch_jobs import BatchedTasks
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.task import TaskOutput

TEXTS = {name: {f"{i}.py": f"{name}_{i} = {i}\n" * 9 for i in range(3)} for name in ("alpha", "beta")}


def norm(organization: Organization, weights: np.ndarray, power: int) -> TaskOutput:
    return TaskOutput(tables={"rows": pa.table({"value": [float((weights.astype(float) ** power).sum())]})})


def files(organization: Organization) -> TaskOutput:
    return TaskOutput(tables={"rows": pa.table({"value": [float(len(organization.corpus.train))]})})


class Norms(Measure):
    """A number of each model, and one of each corpus."""

    name = "norms"
    Settings = Settings
    tables = (table_spec("rows", "numbers", "model", [("model", TEXT, "its key"), ("value", REAL, "a number")]),)

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        for name in context.organizations:
            recipe = {"kind": "losses", "version": 1, "weights": checkpoint.model, "organization": name}
            yield ClientTask("rows", name, "norm", recipe, norm, (2,))
            yield ClientTask("rows", name, "files", {"kind": "losses", "version": 1, "of": name}, files)


class Hidden(Norms):
    """The same work for somebody else first, who wants no rows of it."""

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        for task in super().tasks(context, checkpoint):
            yield replace(task, shown=False)
            yield task


class Waves:
    """Notes which models are asked at once."""

    def __init__(self) -> None:
        self.waves: list[list[str]] = []
        self.compared: list[list[str]] = []

    def models_at_once(self) -> int:
        return 2

    async def look_up(self, models: Mapping[str, TrainedModel], /) -> BatchedTasks:
        self.waves.append(list(models))
        return {}

    async def generate(self, tasks: BatchedTasks, /) -> None: ...

    async def compare(self, models: Mapping[str, TrainedModel], tasks: BatchedTasks, /) -> None:
        self.compared.append(list(models))

    async def tables(
        self, models: Mapping[str, TrainedModel], reached: Sequence[TrainedModel], /
    ) -> Mapping[str, Sequence[pa.Table]]:
        self.reached = list(reached)
        return {"names": [pa.table({"model": list(models)})]}


class Names(Measure):
    """Has models write nothing, and lists them."""

    name = "names"
    Settings = Settings
    tables = (table_spec("names", "models", "model", [("model", TEXT, "its key")]),)

    def generation(self, context: EvalContext, executor: TaskExecutor, workers: int, secret: bytes) -> Waves:
        self.asked = Waves()
        return self.asked


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS)


def evaluator_of(models: MeasuredModels, measure: Measure, in_waves: bool = False) -> Evaluator:
    return Evaluator([measure], models.context, models.executor, 1, b"secret", in_waves)


def test_work_whose_rows_are_not_shown_leaves_those_of_others_as_they_are(models: MeasuredModels) -> None:
    found = {}
    for measure in (Norms(Settings()), Hidden(Settings())):
        evaluator = evaluator_of(models, measure)

        async def work(evaluator: Evaluator = evaluator) -> None:
            evaluator.take(models.model())
            await evaluator.finish()

        models.run(work)
        rows = [row for table in evaluator.tables["rows"] for row in table.to_pylist()]
        found[type(measure)] = sorted(rows, key=str)
    assert found[Hidden] == found[Norms]


class Received(Names):
    """The same of uploads, too."""

    name = "received"

    def wants(self, checkpoint: ModelCheckpoint) -> bool:
        return True


def test_uploads_go_to_who_asks_for_them_and_are_no_models_of_a_run(models: MeasuredModels) -> None:
    """What two settings receive is one model to probe; one that a setting ends with is measured as such."""
    model = models.model()
    upload = replace(model, checkpoint=ModelCheckpoint("sent", "upload", 1, True, "alpha", "average"))
    both = replace(upload, checkpoint=replace(upload.checkpoint, model=model.checkpoint.model, index=2))
    other = replace(upload, strategy_run=replace(upload.strategy_run))
    asked = {}
    for measure in (Names(Settings()), Received(Settings())):
        evaluator = evaluator_of(models, measure)

        async def work(evaluator: Evaluator = evaluator) -> None:
            for one in (both, upload, other, model):
                evaluator.take(one)
            await evaluator.finish()

        models.run(work)
        assert evaluator.reached == [model]
        (table,) = evaluator.tables["names"]
        asked[measure.name] = table["model"].to_pylist()
        if measure.name == "received":
            assert measure.asked.reached == [both, upload, other, model]
            assert evaluator._queues[0].taken[model.checkpoint.model] is model
    assert asked == {"names": [model.checkpoint.model], "received": [model.checkpoint.model, "sent"]}


def test_rows_say_which_model_and_organization_they_are_about(models: MeasuredModels) -> None:
    evaluator, model = evaluator_of(models, Norms(Settings())), models.model()

    async def work() -> None:
        evaluator.take(model)
        await evaluator.finish()

    models.run(work)
    found = [row for table in evaluator.tables["rows"] for row in table.to_pylist()]
    found.sort(key=lambda row: row["organization"])  # rows come as their tasks end
    weights = models.executor.store.get(model.checkpoint.model)
    assert weights is not None
    total = float((weights.array("weights").astype(float) ** 2).sum())
    about = {"model": model.checkpoint.model, "value": total}
    assert [row for row in found if "model" in row] == [about | {"organization": name} for name in ("alpha", "beta")]
    assert [row for row in found if "model" not in row] == [
        {"value": float(len(models.organizations[name].corpus.train)), "organization": name} for name in TEXTS
    ]


class OneCorpus(Measure):
    """A number of each corpus, of which nobody can tell whose it is."""

    name = "one"
    Settings = Settings
    tables = Norms.tables

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        for name in context.organizations:
            yield ClientTask("rows", name, "files", {"kind": "losses", "version": 1}, files)


def test_organizations_with_the_same_code_have_rows_each(models: MeasuredModels) -> None:
    evaluator, model = evaluator_of(models, OneCorpus(Settings())), models.model()

    async def work() -> None:
        evaluator.take(model)
        await evaluator.finish()

    models.run(work)
    found = [row["organization"] for table in evaluator.tables["rows"] for row in table.to_pylist()]
    assert sorted(found) == ["alpha", "beta"]


def test_a_model_that_comes_twice_is_measured_once(models: MeasuredModels) -> None:
    evaluator, model = evaluator_of(models, Norms(Settings())), models.model()
    other = replace(model, strategy_run=replace(model.strategy_run))

    async def work() -> None:
        evaluator.take(model)
        evaluator.take(other)
        await evaluator.finish()

    models.run(work)
    assert evaluator.reached == [model, other]
    assert len(evaluator.tables["rows"]) == 4
    assert (models.done(), models.done("cached")) == (["losses"] * 4, [])


def test_a_model_that_turns_out_to_be_the_final_one_is_there_once(models: MeasuredModels) -> None:
    """Of rounds that end early, one before the last may be kept: by then it has been taken already."""
    final = models.model()
    passed = replace(final, checkpoint=replace(final.checkpoint, final=False))
    measure = Names(Settings())
    evaluator = evaluator_of(models, measure)

    async def work() -> None:
        evaluator.take(passed)
        evaluator.take(final)
        await evaluator.finish()

    models.run(work)
    assert evaluator.reached == measure.asked.reached == [final]


@pytest.mark.parametrize(("in_waves", "waves"), [(True, [["a", "b"]]), (False, [])])
def test_generation_comes_in_waves_or_at_the_end(models: MeasuredModels, in_waves: bool, waves: list[Any]) -> None:
    """Of three models two fill a wave; the third is asked at the end, as all are without waves."""
    measure = Names(Settings())
    evaluator = evaluator_of(models, measure, in_waves)

    async def work() -> None:
        for key in ("a", "a", "b", "c"):
            evaluator.take(models.model(key))
            for _ in range(20):
                await asyncio.sleep(0)
        assert measure.asked.waves == waves
        await evaluator.finish()

    models.run(work)
    assert evaluator.generates
    assert measure.asked.waves == waves
    assert [table["model"].to_pylist() for table in evaluator.tables["names"]] == [["a", "b", "c"]]


def test_what_is_abandoned_is_not_done(models: MeasuredModels) -> None:
    evaluator = evaluator_of(models, Norms(Settings()))

    async def work() -> None:
        evaluator.take(models.model())
        evaluator.abandon()
        with pytest.raises(asyncio.CancelledError):
            await evaluator.finish()

    models.run(work)
    assert not evaluator.generates
    assert models.done() == []


def test_with_an_alarm_each_model_is_compared_as_soon_as_it_is_there(models: MeasuredModels) -> None:
    measure = Names(Settings())
    evaluator = Evaluator([measure], models.context, models.executor, 1, b"secret", in_waves=False, at_once=True)

    async def work() -> None:
        for key in ("a", "b"):
            evaluator.take(models.model(key))
            for _ in range(20):
                await asyncio.sleep(0)
        await evaluator.finish()

    models.run(work)
    assert measure.asked.waves == measure.asked.compared == [["a"], ["b"]]


class Scored(Norms):
    """Numbers that observers receive."""

    def scores(self, task: ClientTask, result: pa.Table) -> Mapping[str, float]:
        return {"norm": result["value"][0].as_py()}


def test_observers_receive_what_tasks_say_of_models(models: MeasuredModels) -> None:
    evaluator, model = evaluator_of(models, Scored(Settings())), models.model()

    async def work() -> None:
        evaluator.take(model)
        await evaluator.finish()

    models.run(work)
    found = {one.organization: (one.model, one.values.keys()) for one in models.observer.scores}
    assert found == {name: (model.checkpoint.model, {"norm"}) for name in TEXTS}
    assert len(models.observer.scores) == 2  # nothing of tasks that read no model


def test_training_does_not_outlive_a_measurement_that_fails(models: MeasuredModels) -> None:
    evaluator, cancelled = evaluator_of(models, Scored(Settings())), []

    def refuse(_: object) -> None:
        raise RunError("over the threshold")

    models.observer.measured = refuse  # type: ignore[method-assign]

    async def training() -> None:
        evaluator.take(models.model())
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append("training")
            raise

    async def work() -> None:
        with pytest.raises(RunError, match="over the threshold"):
            await evaluator.unless_failed(training())

    models.run(work)
    assert cancelled == ["training"]


@pytest.mark.parametrize("fails", [False, True])
def test_training_ends_as_it_ends_where_measuring_goes_well(models: MeasuredModels, fails: bool) -> None:
    evaluator = evaluator_of(models, Norms(Settings()))

    async def training() -> None:
        evaluator.take(models.model())
        if fails:
            raise RunError("training failed")

    async def work() -> None:
        if fails:
            with pytest.raises(RunError, match="training failed"):
                await evaluator.unless_failed(training())
        else:
            await evaluator.unless_failed(training())
        evaluator.abandon()

    models.run(work)
