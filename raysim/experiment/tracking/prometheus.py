"""Prometheus: gauges among Ray's own metrics, which every node of a cluster exports."""

from collections.abc import Sequence

from raysim.cluster.ray_metrics import RayGauges
from raysim.core.errors import InputError
from raysim.experiment.tracking.tracker import Point, TrackedRun


class PrometheusTracker:
    """Sets ``ray_raysim_CURVE{run, of}``, for example ``ray_raysim_exclusive_lines``, to the last value of a curve."""

    def __init__(self, run: TrackedRun) -> None:
        self._name = run.name
        self._gauges = RayGauges(("run", "of"))

    @classmethod
    def check(cls, run: TrackedRun) -> None:
        if not run.on_ray:
            raise InputError(
                "execution.track: prometheus is Ray's, and execution.backend: inline has none; write"
                " execution.backend: ray, or track something else"
            )

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            name, _, of = point.curve.partition("/")
            self._gauges.set(f"raysim_{name}", point.value, {"run": self._name, "of": of})

    def close(self) -> None:
        """Ray forgets its metrics when it ends."""
