"""TensorBoard: event files in the run folder, for ``tensorboard --logdir RUN_DIR/tensorboard``."""

import time
from collections.abc import Sequence
from typing import Any

from raysim.experiment.tracking.tracker import Point, TrackedRun, require


class TensorBoardTracker:
    """Writes event files by tensorboard's own writer, which needs neither TensorFlow nor torch."""

    def __init__(self, run: TrackedRun) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(run.folder / "tensorboard"))

    @classmethod
    def check(cls, run: TrackedRun) -> None:
        del run
        require("tensorboard")

    def log(self, points: Sequence[Point]) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2

        events: Any = event_pb2  # whose classes are made when it is imported
        summaries: Any = summary_pb2
        for point in points:
            value = summaries.Summary.Value(tag=point.curve, simple_value=point.value)
            summary = summaries.Summary(value=[value])
            self._writer.add_event(events.Event(wall_time=time.time(), step=point.step, summary=summary))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
