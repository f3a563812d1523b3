"""Versions of packages that code is taken from."""

from importlib.metadata import version
from pathlib import Path

from raysim.experiment.config import load_experiment
from raysim.experiment.source_versions import source_versions

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_versions_of_organizations_and_references() -> None:
    experiment = load_experiment(EXPERIMENTS / "quickstart.yaml", ()).experiment
    found = source_versions(experiment)
    assert found["torch"] == version("torch")
    assert found["transformers"] == version("transformers")
    assert list(found) == sorted(found)


def test_what_is_no_distribution_has_none() -> None:
    overrides = ["organizations.meta.source={packages: [google]}", "references=[stdlib]"]
    assert "google" not in source_versions(load_experiment(EXPERIMENTS / "quickstart.yaml", overrides).experiment)
