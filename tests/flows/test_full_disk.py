"""A full disk: a clear error that names the stage, the last good state kept, and the run goes on when there is room."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drive import hashes, raysim


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of the size that the test asks for."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", mount], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"cannot mount a small disk here: {made.stderr.strip()}")
    yield mount
    subprocess.run(["umount", mount], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("small_disk", ["2500k"], indirect=True)  # the weights of the tiny experiment fill it
def test_full_disk_names_the_stage_and_resumes(
    tiny: Callable[..., Path], finished_once: tuple[Path, Path], tmp_path: Path, small_disk: Path
) -> None:
    path, out = tiny(), tmp_path / "out"
    ended = raysim("run", path, "--out", out, "--store", small_disk / "store")
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ", stage " in ended.stderr or ", round " in ended.stderr
    assert "No space left" in ended.stderr
    assert not list((small_disk / "store").glob("objects/*/.*"))
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    ended = raysim("run", path, "--out", out, "--store", small_disk / "store")
    assert ended.returncode == 0, ended.stderr
    assert "cached" in ended.stdout
    assert hashes(out) == hashes(finished_once[1])


@pytest.mark.stress
@pytest.mark.parametrize("small_disk", ["600k"], indirect=True)
def test_disk_that_fills_up_within_a_checkpoint(
    tiny: Callable[..., Path], finished_once: tuple[Path, Path], tmp_path: Path, small_disk: Path
) -> None:
    """Initial weights of 110 KB fit, two checkpoints of 330 KB do not: the second is written before the first goes."""
    path, out, store = tiny(), tmp_path / "out", small_disk / "store"
    often = ["--set", "execution.checkpoint_every_s=0.001", "--set", "execution.slots=1"]
    ended = raysim("run", path, "--out", out, "--store", store, *often)
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ", stage 1: " in ended.stderr
    assert "No space left" in ended.stderr
    assert "the store will grow by up to" in ended.stdout
    assert not list(store.glob("partial/*/.*"))
    (checkpoint,) = store.glob("partial/*/*")  # the last good state is kept
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    ended = raysim("run", path, "--out", out, "--store", store, *often)
    assert ended.returncode == 0, ended.stderr
    assert not checkpoint.exists()
    assert hashes(out) == hashes(finished_once[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "small_disk", [*(pytest.param(size, marks=pytest.mark.stress) for size in ("16k", "120k")), "40k"], indirect=True
)
def test_a_disk_that_is_full_anywhere(tiny: Callable[..., Path], tmp_path: Path, small_disk: Path) -> None:
    """Of the store, of the run folder, of both; within the shards, the weights or a log: one line with a place."""
    for where in (["--store", small_disk / "store", "--out", tmp_path / "out"], ["--out", small_disk / "out"]):
        ended = raysim("run", tiny(), *where)
        assert ended.returncode == 3, ended.stderr
        (line,) = ended.stderr.splitlines()
        assert line.startswith("error: ")
        assert str(small_disk) in line
        assert "No space left on device; free some room, then run the same command again" in line
        subprocess.run(["find", small_disk, "-mindepth", "1", "-delete"], check=True)
