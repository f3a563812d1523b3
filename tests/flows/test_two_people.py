"""Two people, or four runs, on one machine: each works, or ends in a line that says what to do.

A temporary folder of somebody else's, and one with a long path: `test_machine.py`; no `flock`: `core/test_locks.py`.
"""

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from drive import TIMEOUT_S, hashes, raysim, started
from rays import foreign_ray


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where all Rays lay their files and notes, as they do in /tmp, with nobody else's among them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        yield Path(folder)


RAY = ["--set", "execution.backend=ray", "--set", "execution.slots=1"]


def test_a_run_beside_a_ray_of_somebody_elses(short_folder: Path, small: Path, tmp_path: Path) -> None:
    """It has left a note of where it is, which Ray would follow by itself; it stays as it was, and takes no part."""
    with foreign_ray(short_folder / "ray", "--num-cpus=1") as address:
        ended = raysim("run", small, "--out", tmp_path / "out", *RAY)
        assert ended.returncode == 0, ended.stderr
        assert joined(address) == 0


@pytest.mark.stress
def test_four_runs_at_once_beside_a_ray_of_somebody_elses(short_folder: Path, small: Path, tmp_path: Path) -> None:
    """With one store for all, so that each stage is trained once; the tables are the same."""
    with foreign_ray(short_folder / "ray", "--num-cpus=1") as address, ExitStack() as stack:
        outs = [tmp_path / f"out{number}" for number in range(4)]
        logs = [tmp_path / f"log{number}" for number in range(4)]
        runs = [
            stack.enter_context(started("run", small, "--out", out, "--store", tmp_path / "store", *RAY, output=log))
            for out, log in zip(outs, logs, strict=True)
        ]
        for run, log in zip(runs, logs, strict=True):
            assert run.wait(4 * TIMEOUT_S) == 0, log.read_text()
        assert joined(address) == 0
    assert len({str(hashes(out)) for out in outs}) == 1


def joined(address: str) -> int:
    """Drivers that have joined a Ray so far."""
    from ray._private.state import GlobalState

    raylet: Any = importlib.import_module("ray._raylet")
    state = GlobalState()
    state._initialize_global_state(raylet.GcsClientOptions.create(address, None, True, False))
    try:
        return len(state.job_table())
    finally:
        state.disconnect()


FULL = """
import sys
import numpy as np
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import RunError
backend = RayBackend(sys.argv[1], None)
held = []
try:
    for number in range(4):
        held.append(backend.share(np.full(30 << 20, number, np.uint8)))
except RunError as error:
    print(len(held), error)
finally:
    backend.close()
"""


def test_a_disk_that_is_too_full_for_rays_objects(short_folder: Path) -> None:
    """Any disk is, by this threshold: objects that fit in memory go on, one that would have to be spilled does not."""
    options = "--num-cpus=1", "--object-store-memory=80000000"
    with foreign_ray(short_folder / "ray", *options, RAY_local_fs_capacity_threshold="0.0001") as address:
        command = [sys.executable, "-c", FULL, address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    (line,) = ended.stdout.splitlines()
    assert line.startswith("2 Ray's object store is full"), ended.stderr
    assert "RAY_local_fs_capacity_threshold" in line
