"""What every measure has without writing it, and what observers receive of a model."""

from pathlib import Path

import pyarrow as pa
import pytest
from measured_models import MeasuredModels

from raysim.core.settings import Settings
from raysim.measures.base import ClientTask, Measure, scores_of
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.model_scores import ModelScores
from raysim.tasks.task import TaskOutput

TEXTS = {name: {f"{i}.py": f"{name}_{i} = {i}\n" * 9 for i in range(3)} for name in ("alpha", "beta")}


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS)


def test_scores_say_which_model_they_are_of(models: MeasuredModels) -> None:
    model = models.model("key")
    found = scores_of(model, "beta", {"exposure": 2.0})
    run = model.strategy_run
    expected = ModelScores("key", f"{run.name}, stage 1", run.name, 1, "stage", 1, "beta", {"exposure": 2.0})
    assert found == expected
    assert found.row()["values"] == {"exposure": 2.0}


def test_a_measure_that_writes_nothing_does_nothing(models: MeasuredModels) -> None:
    measure, checkpoint = Measure(Settings()), ModelCheckpoint("key", "round", 1, False)
    task = ClientTask("rows", "alpha", "files", {"kind": "losses", "weights": "key"}, TaskOutput)
    assert (list(measure.tasks(models.context, checkpoint)), list(measure.generations(models.context, checkpoint))) == (
        [],
        [],
    )
    assert measure.scores(task, pa.table({"nats": [1.0]})) == {}
    assert measure.generation(models.context, models.executor, 1, b"secret") is None
    assert (measure.wants(checkpoint), measure.after_epochs(["alpha"])) == (True, False)
    assert not measure.wants(ModelCheckpoint("key", "upload", 1, False))
