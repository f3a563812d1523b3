"""A tracker that writes every point as a line of JSON, for whatever reads such lines."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from raysim.experiment.tracking.tracker import Point, TrackedRun


class Lines:
    """Implements `raysim.experiment.tracking.tracker.Tracker`."""

    def __init__(self, run: TrackedRun) -> None:
        self._file = (run.folder / "points.jsonl").open("a", encoding="utf-8")

    @classmethod
    def check(cls, run: TrackedRun) -> None:
        """It needs nothing; else it would raise `raysim.core.errors.InputError`."""

    def log(self, points: Sequence[Point]) -> None:
        self._file.writelines(json.dumps(asdict(point)) + "\n" for point in points)
        self._file.flush()

    def close(self) -> None:
        self._file.close()
