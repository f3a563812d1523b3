"""`raysim verify` passes on what a run left, names what is not as it was, and repairs nothing."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drive import raysim, raysim_anew

from raysim.core.keys import canonical_json, file_sha256
from raysim.store.store import Store
from raysim.store.task_log import read_log


@pytest.fixture
def finished(finished_small: tuple[Path, Path], tmp_path: Path) -> Path:
    """This test's own copy of a small run."""
    shutil.copytree(finished_small[1], tmp_path / "out")
    return tmp_path / "out"


def content(folder: Path) -> dict[str, str]:
    """The hash of every file, locks left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def a_trained_model(out: Path) -> Path:
    keys = [row["key"] for row in read_log(out / "stages.jsonl") if row["kind"] == "train"]
    folders = (out / "store" / "objects" / key[:2] / key for key in keys)
    return next(folder for folder in folders if (folder / "weights.npy").exists())  # others may be evicted


@pytest.mark.slow
def test_everything_is_made_once_more_to_the_same_bits(finished: Path) -> None:
    made_again(finished, "8 train", "2 aggregate", "1 initial", "1 tokenizer", "15 losses", "15 generate", "15 match")


@pytest.mark.stress
def test_every_strategy_is_made_once_more_to_the_same_bits(finished_once: tuple[Path, Path], tmp_path: Path) -> None:
    out = shutil.copytree(finished_once[1], tmp_path / "all")
    made_again(out, "25 train", "4 aggregate", "1 initial", "1 tokenizer", "63 losses", "63 generate", "63 match")


def made_again(finished: Path, *counts: str) -> None:
    before = content(finished)
    ended = raysim_anew("verify", finished)  # another seed of hashes may change no bit, either
    assert ended.returncode == 0, ended.stdout + ended.stderr
    entries = len(list(Store(finished / "store")))
    prompt_stats = " ".join(ended.stdout.split())
    assert f"{entries} entries hashed" in prompt_stats
    for made in counts:
        assert made in prompt_stats
    assert content(finished) == before


def test_a_sample_has_one_of_each_kind_and_what_it_stands_on(finished: Path) -> None:
    """Seven pieces of work are drawn; those whose evicted weights they need are made, and compared, as well."""
    ended = raysim("verify", finished, "--sample", 7, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    made = json.loads(ended.stdout)["made"]
    assert len(made) >= 7
    assert {"train", "generate", "losses"} <= made.keys()
    assert 7 <= sum(made.values()) < len(read_log(finished / "stages.jsonl"))


@pytest.mark.slow
def test_one_flipped_byte_is_named(finished: Path) -> None:
    folder = a_trained_model(finished)
    damaged = bytearray((folder / "weights.npy").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / "weights.npy").write_bytes(damaged)
    before = content(finished)
    ended = raysim("verify", finished)
    assert ended.returncode == 1
    assert f"store entry {folder.name}: weights.npy is not what was written" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert content(finished) == before


@pytest.mark.slow
def test_a_result_that_never_came_of_its_recipe_is_named(finished: Path) -> None:
    """The entry is consistent, its hashes are right: only making it again tells."""
    folder = a_trained_model(finished)
    weights = np.load(folder / "weights.npy")
    np.save(folder / "weights.npy", weights * np.float32(1.01))
    facts = json.loads((folder / "entry.json").read_text())
    facts.pop("sha256")
    facts["files"]["weights.npy"]["sha256"] = file_sha256(folder / "weights.npy")
    digest = hashlib.sha256(canonical_json(facts).encode()).hexdigest()
    (folder / "entry.json").write_text(json.dumps({**facts, "sha256": digest}))
    ended = raysim("verify", finished)
    assert ended.returncode == 1
    prompt_stats = " ".join(ended.stderr.split())
    assert f"train {folder.name}: weights.npy differs, relative L2 distance 0.0099" in prompt_stats
    # What others had made of the true weights came out again, of the true weights.
    assert prompt_stats.startswith("error: 1 of ")


def test_a_changed_corpus_is_told(tiny: Callable[..., Path], tmp_path: Path, corpus_folders: dict[str, Path]) -> None:
    shutil.copytree(corpus_folders["alpha"], tmp_path / "mine")
    path = tiny(
        organizations={"mine": {"source": {"path": str(tmp_path / "mine")}}},
        references=[{"path": str(corpus_folders["beta"])}],
        strategies=["single"],
        measure={},
        tokenizer={"train": {"corpus": "references", "vocab_size": 400}},
    )
    assert raysim("run", path, "--out", tmp_path / "out").returncode == 0
    assert raysim("verify", tmp_path / "out").returncode == 0
    for file in (tmp_path / "mine").glob("*.py"):
        file.write_text(file.read_text() + "\nx = 1\n")
    ended = raysim("verify", tmp_path / "out")
    assert ended.returncode == 1
    assert "were not made again" in ended.stderr
    prompt_stats = " ".join(ended.stderr.split())
    assert "corpora, settings, libraries, or whether the processor knows bf16, have changed since" in prompt_stats


def test_what_has_not_ended_is_not_verified(finished: Path, tmp_path: Path) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    (finished / "manifest.json").write_text(json.dumps({**manifest, "finished": None}))
    for folder, words in ((finished, "has not come to its end"), (tmp_path / "none", "no run folder")):
        ended = raysim("verify", folder)
        assert ended.returncode == 2
        assert words in " ".join(ended.stderr.split())


def test_an_entry_that_is_gone_is_named(finished: Path) -> None:
    """What the tables rest on must be there; that it could be made again is no excuse."""
    folder = a_trained_model(finished)
    shutil.rmtree(folder)
    ended = raysim("verify", finished, "--sample", 1)
    assert ended.returncode == 1
    assert f"store entry {folder.name}: is not there any more" in " ".join(ended.stderr.split())
    assert not folder.exists()
