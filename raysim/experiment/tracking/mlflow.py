"""MLflow: a run of the experiment of the same name, at ``MLFLOW_TRACKING_URI``, else in files in the run folder."""

import os
import re
import time
from collections.abc import Sequence

from raysim.experiment.tracking.tracker import Point, TrackedRun, require

_MOST_METRICS = 500
_MOST_SETTINGS = 100
_MOST_CHARACTERS = 500
"""What MLflow takes of metrics and parameters in one request, and of a parameter, at most, on any of its stores."""


class MLflowTracker:
    """Logs metrics by MLflow's client, without the state of a process that its fluent interface has."""

    def __init__(self, run: TrackedRun) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # which MLflow 3 asks for
            uri = (run.folder / "mlruns").resolve().as_uri()
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(uri)
        known = self._client.get_experiment_by_name(run.name)
        experiment = known.experiment_id if known else self._client.create_experiment(run.name)
        self._run = self._client.create_run(experiment, run_name=run.name).info.run_id
        params = [Param(_name(path), value[:_MOST_CHARACTERS]) for path, value in run.flat_settings()]
        for start in range(0, len(params), _MOST_SETTINGS):
            self._client.log_batch(self._run, params=params[start : start + _MOST_SETTINGS])

    @classmethod
    def check(cls, run: TrackedRun) -> None:
        del run
        require("mlflow")

    def log(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        now_ms = int(1000 * time.time())
        metrics = [Metric(_name(point.curve), point.value, now_ms, point.step) for point in points]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._run, metrics=metrics[start : start + _MOST_METRICS])

    def close(self) -> None:
        self._client.set_terminated(self._run)


def _name(text: str) -> str:
    """As MLflow allows it: letters, digits, and a few signs."""
    return re.sub(r"[^\w\-. /]", "_", text, flags=re.ASCII)
