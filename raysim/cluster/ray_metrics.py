"""Gauges among the metrics that Ray exports to Prometheus."""

from collections.abc import Mapping
from typing import Any


class RayGauges:
    """Gauges by their names, each made when it is first set; Ray must be there by then.

    Args:
        tags: names of the tags that each of them has.
    """

    def __init__(self, tags: tuple[str, ...]) -> None:
        self._tags = tags
        self._gauges: dict[str, Any] = {}

    def set(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Sets a gauge under these tags."""
        from ray.util.metrics import Gauge

        if name not in self._gauges:
            self._gauges[name] = Gauge(name, f"{name.replace('_', ' ')}, by raysim", tag_keys=self._tags)
        self._gauges[name].set(value, tags=dict(tags))
