"""Weights & Biases: in files in the run folder (``wandb sync`` uploads them), or live where ``WANDB_MODE`` says so."""

import os
from collections.abc import Sequence
from typing import Any

from raysim.experiment.tracking.tracker import Point, TrackedRun, require


class WandbTracker:
    """Logs to a run of W&B. Nothing leaves the machine unless ``WANDB_MODE=online`` is set."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        quiet = wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, disable_job_creation=True
        )
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "raysim"),
            name=run.name,
            dir=str(run.folder),
            config=dict(run.settings),
            mode=mode,
            settings=quiet,
        )
        self._run.define_metric("*", step_metric="step")

    @classmethod
    def check(cls, run: TrackedRun) -> None:
        del run
        require("wandb")

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            self._run.log({point.curve: point.value, "step": point.step})

    def close(self) -> None:
        self._run.finish()
