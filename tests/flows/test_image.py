"""The steps of the Dockerfile, in a folder and an environment of their own in place of an image."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def steps() -> Iterator[tuple[str, str]]:
    """Its instructions, in their order, with what follows each."""
    lines = (ROOT / "clusters" / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, rest


@pytest.mark.stress
def test_the_steps_of_the_image_make_one_that_runs(small: Path, tmp_path: Path) -> None:
    """All but the user, whom a machine has already, and the Python, which is the one that tests."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    path = os.pathsep.join([str(tmp_path / "venv" / "bin"), os.environ["PATH"]])
    environment, work, made = {**os.environ, "PATH": path}, tmp_path, []
    for name, rest in steps():
        match name:
            case "FROM" | "USER" | "CMD":
                assert name != "FROM" or rest.startswith("python:3.")
            case "ARG":
                assert rest == "PIP_EXTRA_INDEX_URL="  # as the environment has it
            case "ENV":
                environment |= dict(one.split("=", 1) for one in rest.split())
            case "WORKDIR":
                work = tmp_path / "image" / rest.removeprefix("/")
                work.mkdir(parents=True)
            case "COPY":
                *sources, target = rest.split()
                for source in sources:
                    (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(
                        ROOT / source, work / target / source if target == "./" else work / target
                    )
            case "RUN" if not rest.startswith("useradd "):
                subprocess.run(["bash", "-c", rest], cwd=work, env=environment, check=True, timeout=1800)
                made.append(rest)
            case "RUN":
                pass
            case _:
                raise AssertionError(f"{name} {rest}")
    assert len(made) == 2
    out = tmp_path / "out"
    ended = subprocess.run(
        ["raysim", "run", small, "--out", out], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert (out / "report.html").exists()
