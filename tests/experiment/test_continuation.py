"""An experiment goes on in a folder whose rows it would make again, and in no other."""

import json
from pathlib import Path
from typing import Any

import pytest
from loaded_experiments import loaded

from raysim.core.errors import InputError
from raysim.core.run_folder import RunFolder
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.continuation import check_content, check_settings, experiment_hash

CONTENT = {"organizations": {"a": ["1", "2"], "b": ["3", "4"]}, "references": "5", "tokenizer": "6"}
BEFORE: dict[str, Any] = {
    "organizations": {name: {"source": {"path": "."}} for name in "ab"},
    "seed": [1],
    "strategies": ["single", {"incremental": {"orders": [["a", "b"]]}}, {"fedavg": {"rounds": 2}}],
    "measure": {"memorization": {"prompts": {"prefix": 2}, "when": "final"}},
}


def written(path: Path, one: LoadedExperiment, **facts: Any) -> RunFolder:
    """A folder with the manifest of an experiment, and with a row of its log."""
    folder = RunFolder(path)
    dumped = one.experiment.model_dump(mode="json")
    folder.write_manifest(experiment=dumped, base=str(one.base), **{"content": CONTENT, "finished": None, **facts})
    folder.stages.write_text(json.dumps({"key": "k"}) + "\n")
    return folder


ADDED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a name": {"name": "other"},
    "seeds": {"seed": [1, 2]},
    "fewer seeds": {"seed": [3]},
    "a strategy": {"strategies": [*BEFORE["strategies"], "centralized"]},
    "fewer strategies": {"strategies": ["single"]},
    "the same settings under another label": {"strategies": [{"fedavg": {"rounds": 3, "label": "long"}}]},
    "orders": {"strategies": [{"incremental": {"orders": "all"}}]},
    "a measure": {"measure": {**BEFORE["measure"], "membership": {}}},
    "fewer measures": {"measure": {"perplexity": None}},
    "models that are measured": {"measure": {"memorization": {"prompts": {"prefix": 2}, "when": "every_stage"}}},
    "a part of a measure": {"measure": {"memorization": {**BEFORE["measure"]["memorization"], "extraction": {}}}},
    "samples": {"measure": {"memorization": {"prompts": {"prefix": 9, "function": 1}, "samples": 9}}},
    "execution": {"execution": {"slots": 7, "backend": "inline"}, "store": {"keep": "metrics"}},
    "nodes": {"organizations": {n: {"source": {"path": "."}, "node": {"site": n}} for n in "ab"}},
    "the report": {"report": {"leakage_weight": 3}},
    "another day": {
        "organizations": {n: {"source": {"path": "."}, "agreement": {"expires": "2999-12-31"}} for n in "ab"}
    },
    "an agreement": {"organizations": {n: {"source": {"path": "."}, "agreement": {"share": "data"}} for n in "ab"}},
}


@pytest.mark.parametrize("what", ADDED)
def test_what_only_adds_rows_goes_on(what: str, tmp_path: Path) -> None:
    folder = written(tmp_path, before := experiment())
    after = experiment(**ADDED[what])
    assert check_settings(folder, after) == []
    assert experiment_hash(after, CONTENT) == experiment_hash(before, CONTENT)


CHANGED: dict[str, dict[str, Any]] = {
    "trainer.learning_rate": {"trainer": {"learning_rate": 0.5}},
    "trainer.precision": {"trainer": {"precision": "bf16"}},
    "split_seed": {"split_seed": 2},
    "model.config.n_layer": {"model": {"config": {"model_type": "gpt2", "n_layer": 7}}},
    "canaries": {"canaries": {}},
    "strategies.fedavg.rounds": {"strategies": [{"fedavg": {"rounds": 3}}]},
    "strategies.fedavg.strategy": {"strategies": [{"fedyogi": {"rounds": 2, "label": "fedavg"}}]},
    "measure.memorization.min_lines": {"measure": {"memorization": {"prompts": {"prefix": 2}, "min_lines": 9}}},
    "measure.memorization.temperature": {"measure": {"memorization": {"prompts": {"prefix": 2}, "temperature": 0}}},
    "organizations": {"organizations": {name: {"source": {"path": "."}} for name in "abc"}},
    "agreements.a": {"organizations": {n: {"source": {"path": "."}, "agreement": {"licences": ["MIT"]}} for n in "ab"}},
    "sweep": {"sweep": {"trainer.epochs": [1, 2]}},
}


@pytest.mark.parametrize("setting", CHANGED)
def test_a_setting_of_rows_that_are_there_is_named(setting: str, tmp_path: Path) -> None:
    folder = written(tmp_path, experiment())
    after = experiment(**CHANGED[setting])
    with pytest.raises(InputError, match=r"holds results of another experiment, which differs in ") as raised:
        check_settings(folder, after)
    assert setting in str(raised.value)
    assert "--overwrite" in str(raised.value)
    folder.stages.unlink()
    assert check_settings(folder, after) == []  # where there is no row, there is none of another experiment


def test_settings_of_data_are_judged_by_what_comes_of_them(tmp_path: Path) -> None:
    folder = written(tmp_path, experiment())
    moved = experiment(organizations={"a": {"source": {"path": "elsewhere"}}, "b": {"source": {"path": "."}}})
    changed = check_settings(folder, moved)
    assert changed == ["organizations.a.source.path"]
    check_content(folder, CONTENT, changed)
    other = CONTENT | {"organizations": {"a": ["1", "2"], "b": ["3", "9"]}}
    with pytest.raises(InputError, match=r"differs in organizations\.a\.source\.path;"):
        check_content(folder, other, changed)
    with pytest.raises(InputError, match=r"differs in the files of organizations\.b;"):
        check_content(folder, other, [])
    assert experiment_hash(moved, CONTENT) == experiment_hash(experiment(), CONTENT)
    assert experiment_hash(moved, other) != experiment_hash(experiment(), CONTENT)


def test_a_folder_of_an_older_version_is_known_by_its_settings(tmp_path: Path) -> None:
    folder = written(tmp_path, experiment(), content=None)
    manifest = folder.read_manifest()
    del manifest["content"]
    folder.manifest.write_text(json.dumps(manifest))
    assert check_settings(folder, experiment(seed=[1, 2])) == []
    check_content(folder, CONTENT, [])
    limited = {"a": {"source": {"path": "."}, "limit": 5}, "b": {"source": {"path": "."}}}
    with pytest.raises(InputError, match=r"differs in organizations\.a\.limit;"):
        check_settings(folder, experiment(organizations=limited))
    folder.manifest.write_text(json.dumps(manifest | {"experiment": {"of": "the future"}}))
    assert check_settings(folder, experiment(split_seed=7)) == []


def test_a_run_keeps_out_of_the_folder_of_a_sweep(tmp_path: Path) -> None:
    folder = written(tmp_path, experiment(), points=[{"name": "p", "folder": "points/p"}])
    with pytest.raises(InputError, match="differs in sweep"):
        check_settings(folder, experiment())


def experiment(**changes: Any) -> LoadedExperiment:
    return loaded(**(BEFORE | changes))
