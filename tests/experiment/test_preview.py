"""Looking at an experiment: what it counts, and that it leaves nothing behind."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raysim.core.run_folder import RunFolder
from raysim.experiment.preview import inspect_experiment, plan_experiment, scratch_store
from raysim.experiment.run import Options


@pytest.fixture
def options(corpus_folders: dict[str, Path], tmp_path: Path) -> Options:
    """Of alpha and beta, every file of whom is kept."""
    off = {"min_assignments": 0, "min_characters_per_token": 0, "no_keyword_drop_probability": 0}
    experiment: dict[str, Any] = {
        "name": "looked-at",
        "organizations": {name: {"source": {"path": str(corpus_folders[name])}} for name in ("alpha", "beta")},
        "references": [{"path": str(corpus_folders["gamma"])}],
        "tokenizer": {"train": {"vocab_size": 300}},
        "preparation": {**off, "config_or_test_drop_probability": 0, "split": {"valid": 0.3}},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8}},
        "trainer": {"sequence_length": 64},
        "strategies": ["single", {"fedavg": {"rounds": 2}}],
        "measure": {"perplexity": {}},
        "execution": {"backend": "inline"},
    }
    return Options(experiment, out=tmp_path / "out")


def test_a_store_that_is_there_is_looked_into_and_another_goes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    with scratch_store(folder) as store:
        scratch = Path(store.folder)
        assert scratch.is_dir()
        assert scratch != folder.store
    assert not scratch.exists()
    assert not folder.path.exists()
    folder.store.mkdir(parents=True)
    with scratch_store(folder) as store:
        assert Path(store.folder) == folder.store
    assert folder.store.is_dir()


def test_a_plan_counts_stages_and_makes_no_folder(options: Options) -> None:
    planned = plan_experiment(options)
    stages = {name: row["unique"] for name, row in planned["strategies"].items()}
    assert stages == {"single": 2, "fedavg": 4}
    assert planned["material"]["seeds"] == 1
    assert options.out is not None
    assert not options.out.exists()


def test_files_that_nobody_reads_take_no_time(
    options: Options, corpus_folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(corpus_folders["alpha"], tmp_path / "alpha")
    other = replace(options, overrides=(f"organizations.alpha.source.path={folder}",))
    before = plan_experiment(other)["seconds"]["preparation"]
    with (folder / "library.so").open("wb") as file:
        file.truncate(1 << 30)
    assert plan_experiment(other)["seconds"]["preparation"] == before


def test_inspection_counts_every_file_and_makes_no_folder(options: Options, corpus_folders: dict[str, Path]) -> None:
    found = inspect_experiment(options)
    for name in ("alpha", "beta"):
        splits = found["organizations"][name]["splits"]
        assert sum(one["files"] for one in splits.values()) == len(list(corpus_folders[name].glob("*.py")))
    assert found["references"]["files"] == len(list(corpus_folders["gamma"].glob("*.py")))
    assert options.out is not None
    assert not options.out.exists()
