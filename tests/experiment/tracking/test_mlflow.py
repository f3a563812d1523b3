"""A run in MLflow's file store, read back by its client."""

from pathlib import Path

import pytest

from raysim.experiment.tracking.mlflow import MLflowTracker
from raysim.experiment.tracking.tracker import Point, TrackedRun


def test_points_are_metrics_of_a_run_with_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    settings = {"trainer": {"epochs": 2}, "strategies": ["single", {"fedavg": {"rounds": 2}}], "note": "x" * 9999}
    for lines in (0.25, 0.5):
        tracker = MLflowTracker(TrackedRun("debug", tmp_path, settings, False))
        tracker.log([Point("exclusive_lines/acme/incremental a > b, seed 1", step, lines) for step in (1, 2)])
        tracker.close()
    client = MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("debug")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    name = "exclusive_lines/acme/incremental a _ b_ seed 1"
    assert sorted(run.data.metrics[name] for run in runs) == [0.25, 0.5]
    history = client.get_metric_history(runs[0].info.run_id, name)
    assert [(one.step, one.value) for one in history] == [(1, 0.5), (2, 0.5)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert runs[0].data.params["trainer.epochs"] == "2"
    assert runs[0].data.params["strategies"] == '["single", {"fedavg": {"rounds": 2}}]'
