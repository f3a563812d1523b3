"""An experiment is the same whether it comes from a file, a mapping or the manifest of its run."""

import json
import shlex
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.core.settings import load_yaml
from raysim.experiment.config import load_experiment, restore_experiment
from raysim.experiment.run import Options

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


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_mapping_is_read_as_its_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, overrides = load_yaml(path), ["trainer.epochs=3"]
    before = json.dumps(raw)
    monkeypatch.chdir(path.parent)
    assert load_experiment(_in_python(raw), overrides) == load_experiment(path, overrides)
    assert json.dumps(raw) == before


def _in_python(value: Any) -> Any:
    """The same with tuples for lists, mappings that are no dict, and paths that are no text."""
    if isinstance(value, dict):
        path = {"path": Path(value["path"])} if "path" in value else {}
        return MappingProxyType({name: _in_python(inner) for name, inner in value.items()} | path)
    return tuple(_in_python(inner) for inner in value) if isinstance(value, list) else value


@pytest.mark.parametrize("experiment", [{"name": "x"}, {"organizations": 3}, {}], ids=str)
def test_what_is_wrong_with_a_mapping_is_named_as_of_a_file(experiment: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"(?m)^experiment: organizations: "):
        load_experiment(experiment, [])


def test_options_are_told_as_the_command_that_gives_them() -> None:
    options = Options(Path("my experiment.yaml"), Path("out"), Path("store"), ("seed=[1, 2]", "name=x"), "auto")
    assert shlex.split(options.equivalent()) == [
        "raysim", "run", "my experiment.yaml", "--out", "out", "--store", "store", "--address", "auto",
        "--set", "seed=[1, 2]", "--set", "name=x",
    ]  # fmt: skip
    assert Options(Path("e.yaml")).equivalent() == "raysim run e.yaml"


def test_options_of_no_file_are_told_as_a_call() -> None:
    assert Options({"name": "x"}).equivalent() == "raysim.run(experiment)"
    told = Options({}, Path("out"), None, ("seed=2",), "auto").equivalent()
    assert told == "raysim.run(experiment, out='out', address='auto', overrides=['seed=2'])"
