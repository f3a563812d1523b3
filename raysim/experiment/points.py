"""The points of an experiment that is several runs: of its grid, or itself and with each of its mitigations."""

import json
from typing import Any

from raysim.experiment.config import Experiment
from raysim.experiment.grid import GridPoint, grid, short_names
from raysim.mitigations.registry import BASELINE, resolve
from raysim.simulation.registry import label_of, name_and_settings

PARAMETER = "mitigation"
"""Names what differs between points with mitigations, as a swept path would."""


def points_of(experiment: Experiment) -> list[GridPoint]:
    """The points of an experiment; none where it is one run.

    Raises:
        InputError: what is wrong with a mitigation; see `raysim.mitigations.registry.resolve`.
    """
    if experiment.mitigations:
        return _mitigated(experiment)
    return grid(experiment.sweep) if experiment.sweep else []


def swept(experiment: Experiment) -> dict[str, list[Any]]:
    """What differs between the points, with the values that it has; empty where it is one run."""
    if experiment.mitigations:
        return {PARAMETER: [point.name for point in _mitigated(experiment)]}
    return experiment.sweep


def parameters_of(experiment: Experiment) -> dict[str, str]:
    """What differs between the points: paths of settings, or the mitigation, each with a short name."""
    return short_names(swept(experiment))


def _mitigated(experiment: Experiment) -> list[GridPoint]:
    """The baseline first, then a point a mitigation, in the order of the experiment.

    Whoever joins is compared with training alone as it is, so that nobody trains alone under a mitigation.
    """
    tree = experiment.model_dump(mode="json")
    made = [(BASELINE, dict[str, str]())]
    for one in resolve(experiment.mitigations, tree, "mitigations"):
        entries = json.loads(one.overrides["strategies"]) if "strategies" in one.overrides else tree["strategies"]
        made.append((one.label, {**one.overrides, **_joined(experiment, entries)}))
    return [
        GridPoint(number, label, {PARAMETER: json.dumps(label)}, {"mitigations": "[]", **settings})
        for number, (label, settings) in enumerate(made, 1)
    ]


def _joined(experiment: Experiment, entries: list[Any]) -> dict[str, str]:
    """Settings that leave training alone out, and out of the arms of findings; none if there is nothing else."""
    named = [(entry, *name_and_settings(entry, "strategies")) for entry in entries]
    joined = [entry for entry, name, _ in named if name != "single"]
    if not joined or joined == entries:
        return {}
    gone = {label_of(name, settings) for _, name, settings in named if name == "single"}
    arms = {
        path: json.dumps([label for label in labels if label not in gone] or None)
        for path, labels in experiment.findings.labels().items()
        if gone.intersection(labels)
    }
    return {"strategies": json.dumps(joined), **arms}
