"""Event files, read back as TensorBoard reads them."""

from pathlib import Path

from raysim.experiment.tracking.tensorboard import TensorBoardTracker
from raysim.experiment.tracking.tracker import Point, TrackedRun


def test_points_are_scalars_of_their_curves(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = TensorBoardTracker(TrackedRun("debug", tmp_path, {}, False))
    tracker.log([Point("exclusive_lines/acme/fedavg, seed 1", 1, 0.25), Point("training_loss/a", 50, 2.5)])
    tracker.log([Point("exclusive_lines/acme/fedavg, seed 1", 2, 0.5)])
    tracker.close()
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    curves = {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert curves == {"exclusive_lines/acme/fedavg, seed 1": [(1, 0.25), (2, 0.5)], "training_loss/a": [(50, 2.5)]}
