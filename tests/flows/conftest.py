"""A tiny experiment on real code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import raysim
from shared import made_once
from splits import splitting_seed

Tiny = Callable[..., Path]


@pytest.fixture
def tiny(tmp_path: Path, corpus_folders: dict[str, Path]) -> Tiny:
    """Writes an experiment of three organizations that runs in seconds; arguments replace top-level settings."""
    return _writer(tmp_path, corpus_folders)


@pytest.fixture(scope="session")
def tiny_writer(corpus_folders: dict[str, Path]) -> Callable[[Path], Tiny]:
    """Like `tiny`, for fixtures that outlive a test: takes the folder to write into."""
    return lambda folder: _writer(folder, corpus_folders)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory, corpus_folders: dict[str, Path]) -> tuple[Path, Path]:
    """The tiny experiment, run inline to its end: its file and its run folder. Tests work on copies."""

    def make(folder: Path) -> None:
        ended = raysim("run", _writer(folder, corpus_folders)(), "--out", folder / "out")
        assert ended.returncode == 0, ended.stderr

    folder = made_once(tmp_path_factory, "finished", make)
    return folder / "tiny.yaml", folder / "out"


@pytest.fixture(scope="session")
def two(corpus_folders: dict[str, Path]) -> dict[str, Any]:
    """Settings of two of the three organizations, for what a third adds nothing to."""
    return {n: {"source": {"path": str(corpus_folders[n])}, "agreement": {"share": "data"}} for n in ("alpha", "beta")}


SMALL: list[Any] = [{"incremental": {"orders": [["alpha", "beta"]]}}, {"fedyogi": {"rounds": 2}}]
"""A stage behind another, and two rounds of a strategy that has a state."""


@pytest.fixture(scope="session")
def finished_small(tmp_path_factory: pytest.TempPathFactory, corpus_folders: dict[str, Path]) -> tuple[Path, Path]:
    """The tiny experiment with few strategies, run inline to its end: its file and its run folder."""

    def make(folder: Path) -> None:
        ended = raysim("run", _writer(folder, corpus_folders)(strategies=SMALL), "--out", folder / "out")
        assert ended.returncode == 0, ended.stderr

    folder = made_once(tmp_path_factory, "finished_small", make)
    return folder / "tiny.yaml", folder / "out"


@pytest.fixture
def small(tiny: Tiny, corpus_folders: dict[str, Path]) -> Path:
    """An experiment of one organization that trains an epoch, for what is about where it runs."""
    source = {"source": {"path": str(corpus_folders["alpha"])}, "agreement": {"share": "data"}}
    trainer = {"epochs": 1, "sequence_length": 64}
    return tiny(organizations={"alpha": source}, references=[], strategies=["single"], trainer=trainer, measure={})


def _writer(tmp_path: Path, corpus_folders: dict[str, Path]) -> Tiny:
    def write(name: str = "tiny", **changes: Any) -> Path:
        raw: dict[str, Any] = {
            "name": name,
            "split_seed": splitting_seed(corpus_folders),
            "organizations": {
                organization: {"source": {"path": str(folder)}, "agreement": {"share": "data"}}
                for organization, folder in corpus_folders.items()
            },
            "references": [{"path": str(corpus_folders["alpha"]), "include": ["stat.py"]}],
            "preparation": {
                "min_assignments": 0,
                "min_characters_per_token": 0,
                "config_or_test_drop_probability": 0,
                "no_keyword_drop_probability": 0,
                "split": {"valid": 0.3},
            },
            "tokenizer": {"train": {"corpus": "organizations", "vocab_size": 400}},
            "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 32}},
            "trainer": {"epochs": 2, "sequence_length": 64, "batch_size": 8, "learning_rate": 3e-3},
            "strategies": [
                "single",
                "centralized",
                "incremental",
                {"fedavg": {"rounds": 2}},
                {"fedyogi": {"rounds": 2}},
            ],
            "measure": {
                "memorization": {
                    "prompts": {"function": 1, "prefix": 3},
                    "prefix_tokens": 24,
                    "samples": 2,
                    "new_tokens": 24,
                    "min_lines": 2,
                    "when": ["every_stage", "every_round"],
                }
            },
            "execution": {"backend": "inline"},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(raw | changes, sort_keys=False))
        return path

    return write
