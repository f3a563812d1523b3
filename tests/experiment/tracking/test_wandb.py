"""A run of W&B that stays on this machine."""

import time
from pathlib import Path

import pytest

from raysim.experiment.tracking.tracker import Point, TrackedRun
from raysim.experiment.tracking.wandb import WandbTracker


def test_points_are_in_a_file_that_could_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    tracker = WandbTracker(TrackedRun("debug", tmp_path, {"trainer": {"epochs": 2}}, False))
    tracker.log([Point("exclusive_lines/acme/fedavg, seed 1", 2, 0.5)])
    tracker.close()
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    wanted = (b"exclusive_lines/acme/fedavg, seed 1", b"epochs")
    deadline_s = time.monotonic() + 60  # W&B's own process writes it, and may end after the run
    while not all(text in file.read_bytes() for text in wanted):
        assert time.monotonic() < deadline_s, file.read_bytes()
        time.sleep(0.05)
