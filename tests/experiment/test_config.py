"""An experiment as a manifest tells of it is the experiment that was run."""

import json
from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.experiment.config import load_experiment, restore_experiment

EXPERIMENTS = sorted(Path(__file__).parents[2].glob("experiments/*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_comes_back(path: Path) -> None:
    loaded = load_experiment(path, ["seed=[3, 4]", "store.keep=leaves"])
    manifest = {"experiment": loaded.experiment.model_dump(mode="json"), "base": str(loaded.base)}
    restored = restore_experiment(json.loads(json.dumps(manifest)))
    assert restored == loaded
    assert (restored.experiment.seed, restored.experiment.store.keep) == ([3, 4], "leaves")


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"experiment": {}}, "does not say where its experiment lay"),
        ({"experiment": {}, "base": "/"}, r"manifest\.json: organizations: missing"),
        ({"base": "/"}, r"manifest\.json: "),
    ],
    ids=["no base", "empty", "no experiment"],
)
def test_a_manifest_that_tells_of_no_experiment(manifest: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        restore_experiment(manifest)
