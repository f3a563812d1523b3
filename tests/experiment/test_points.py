"""The points of grids and of mitigations, and what differs between them."""

import json
from typing import Any

import pytest
from loaded_experiments import loaded

from raysim.core.errors import InputError
from raysim.core.settings import apply_overrides
from raysim.experiment.points import parameters_of, points_of, swept

STRATEGIES: list[Any] = ["single", "centralized", {"fedavg": {"rounds": 4}}]


def test_one_run_has_no_points() -> None:
    experiment = loaded().experiment
    assert points_of(experiment) == []
    assert swept(experiment) == parameters_of(experiment) == {}


def test_a_grid_is_swept_by_its_paths() -> None:
    experiment = loaded(sweep={"trainer.epochs": [1, 2]}).experiment
    assert [point.settings for point in points_of(experiment)] == [{"trainer.epochs": "1"}, {"trainer.epochs": "2"}]
    assert parameters_of(experiment) == {"trainer.epochs": "epochs"}


def test_the_experiment_as_it_is_comes_first_and_nobody_trains_alone_under_a_mitigation() -> None:
    experiment = loaded(strategies=STRATEGIES, mitigations=["dropout", {"dp_rounds": {}}]).experiment
    none, dropout, private = points_of(experiment)
    assert [point.name for point in (none, dropout, private)] == swept(experiment)["mitigation"]
    assert none.settings == {"mitigations": "[]"}
    assert json.loads(dropout.settings["strategies"]) == STRATEGIES[1:]
    names = [next(iter(entry)) for entry in json.loads(private.settings["strategies"]) if isinstance(entry, dict)]
    assert names == ["dp_fedavg"]
    assert "single" not in json.loads(private.settings["strategies"])


@pytest.mark.parametrize(("arms", "left"), [(["alone", "centralized"], ["centralized"]), (["alone"], None)])
def test_findings_of_a_point_name_no_setting_that_it_has_not(arms: list[str], left: list[str] | None) -> None:
    """Else a point would be refused for what the experiment as it is may say."""
    strategies = [{"single": {"label": "alone"}}, "centralized"]
    experiment = loaded(strategies=strategies, findings={"F1": {"arms": arms}}, mitigations=["dropout"]).experiment
    _, point = points_of(experiment)
    changed = apply_overrides(experiment.model_dump(mode="json"), point.overrides)
    found = loaded(**changed)
    assert [one.label for one in found.settings] == ["centralized"]
    assert found.experiment.findings.F1.arms == left


def test_where_everybody_trains_alone_they_do_so_under_mitigations() -> None:
    _, point = points_of(loaded(strategies=["single"], mitigations=["dropout"]).experiment)
    assert "strategies" not in point.settings


def test_what_is_no_mitigation_is_refused() -> None:
    with pytest.raises(InputError, match=r"mitigations\[0\]: unknown mitigation 'goldfihs'"):
        points_of(loaded(mitigations=["goldfihs"]).experiment)
