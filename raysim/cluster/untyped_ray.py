"""Ray as it is used here."""

from typing import Any


def untyped_ray() -> Any:
    """Ray, whose own types leave out much of what it takes and gives."""
    import ray
    import ray.exceptions
    import ray.util.scheduling_strategies

    return ray
