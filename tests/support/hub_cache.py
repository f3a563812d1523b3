"""The cache of the Hugging Face hub as it lies on a disk, without a hub behind it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

COMMITS = ("1" * 40, "2" * 40)

OFFLINE = "from huggingface_hub import constants; constants.HF_HUB_OFFLINE = True; constants.HF_HUB_CACHE = {cache!r}"
"""What a process does to look into the cache alone; libraries have read the environment when they are imported."""

Publish = Callable[[str, str, Path], None]


def publish(cache: Path, name: str, commit: str, folder: Path) -> None:
    """Makes the files in `folder` the newest commit on the main branch of the repository `name`."""
    place = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text(commit)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in which this process looks, and nowhere else."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
