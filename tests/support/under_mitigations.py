"""An experiment as mitigations make it, read as a command would read it."""

from typing import Any

from loaded_experiments import loaded

from raysim.core.settings import apply_overrides
from raysim.experiment.config import LoadedExperiment
from raysim.mitigations.registry import resolve

EXPERIMENT: dict[str, Any] = {
    "trainer": {"epochs": 8, "learning_rate": 0.001},
    "strategies": ["centralized", {"fedavg": {"rounds": 4, "clients": 1}}, {"incremental": {"label": "one by one"}}],
}


def under(*entries: Any, **changes: Any) -> LoadedExperiment:
    """The experiment under these mitigations together."""
    base = loaded(**{**EXPERIMENT, **changes}).experiment.model_dump(mode="json")
    (found,) = resolve([{name: settings for entry in entries for name, settings in entry.items()}], base, "mitigations")
    changed = apply_overrides(base, [f"{path}={value}" for path, value in found.overrides.items()])
    return loaded(**changed)


def strategies(found: LoadedExperiment) -> dict[str, tuple[str, Any]]:
    return {one.label: (one.strategy_class.__name__, one.settings) for one in found.settings}
