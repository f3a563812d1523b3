"""An experiment as a manifest tells of it is the experiment that was run."""

import json
import warnings
from pathlib import Path

import pytest
import yaml

from raysim.core.errors import InputError, RenamedSetting
from raysim.core.yaml_files import load_yaml
from raysim.experiment.config import load_experiment, restore_experiment

EXPERIMENTS = sorted(Path(__file__).parents[2].glob("experiments/*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_comes_back(path: Path) -> None:
    loaded = load_experiment(path, ["seed=[3, 4]", "store.keep=leaves"])
    manifest = {"experiment": loaded.experiment.model_dump(mode="json"), "base": str(loaded.base)}
    restored = restore_experiment(json.loads(json.dumps(manifest)))
    assert restored == loaded
    assert (restored.experiment.seed, restored.experiment.store.keep) == ([3, 4], "leaves")


def test_an_experiment_that_pyyaml_wrote_is_the_same(tmp_path: Path) -> None:
    """It quotes the key ``on``, which it takes for a boolean; a plain one it has read as true, and writes so."""
    debug = next(path for path in EXPERIMENTS if path.stem == "debug")
    loaded = load_experiment(debug, [])
    by_1_2 = load_yaml(debug)
    old_name = debug.read_text().replace("{corpus: ", "{on: ")
    for raw, line in (
        (by_1_2, "corpus: references"),
        ({**by_1_2, "tokenizer": {"train": {"on": "references", "vocab_size": 512}}}, "'on': references"),
        (yaml.safe_load(old_name), "true: references"),
        (None, "{on: references"),
    ):
        text = yaml.safe_dump(raw) if raw else old_name
        assert line in text
        (tmp_path / "dumped.yaml").write_text(text)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dumped = load_experiment(tmp_path / "dumped.yaml", [])
        assert dumped.experiment == loaded.experiment
        assert [one.category for one in caught] == [RenamedSetting] * ("corpus" not in line)


def test_a_manifest_from_before_the_new_name_is_read_in_silence() -> None:
    loaded = load_experiment(next(path for path in EXPERIMENTS if path.stem == "debug"), [])
    dumped = loaded.experiment.model_dump(mode="json")
    train = dumped["tokenizer"]["train"]
    train["on"] = train.pop("corpus")
    assert restore_experiment({"experiment": dumped, "base": str(loaded.base)}) == loaded


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
