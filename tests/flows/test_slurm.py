"""The Slurm scripts with a real Ray, where `srun` and `scontrol` are stubs: in namespaces of their own.

`ray symmetric-run` finds every Ray of a machine, and ends with `ray stop`, which ends all of this user: so it must see
none but its own.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from drive import TIMEOUT_S

from raysim.tables.io import read_table

CLUSTERS = Path(__file__).parents[2] / "clusters"

SRUN = """#!/usr/bin/env bash
# Runs the command here, and hands a signal on to all that it has started, as srun does.
echo "srun $*" >>"$STUBS/calls"
while [[ $1 == --* ]]; do shift; done
setsid "$@" &
trap 'kill -TERM -- "-$!"' TERM
code=0
wait "$!" || code=$?
trap - TERM
wait "$!" 2>/dev/null || true
exit "$code"
"""

SCONTROL = """#!/usr/bin/env bash
echo "scontrol $*" >>"$STUBS/calls"
[[ $1 != show ]] || echo localhost
"""

STOPPED = """#!/usr/bin/env bash
trap 'echo "raysim was stopped" >>"$STUBS/calls"; exit 3' TERM
for process in /proc/[0-9]*; do
  if tr '\\0' ' ' <"$process/cmdline" | grep -q '^bash .*/clusters/slurm'; then kill -USR1 "${process#/proc/}"; fi
done
while true; do sleep 0.1; done
"""
"""What raysim does when Slurm tells the script, two minutes before the end, that the time is over."""

ALONE = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--mount-proc", "--kill-child"]
START = 'hostname localhost && ip link set lo up && mount -t tmpfs tmpfs /dev/shm && exec bash "$@"'


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a short path, which has the stubs, and takes Ray's files and what the stubs were asked for."""
    if subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("takes namespaces of processes and networks")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for name, script in {"srun": SRUN, "scontrol": SCONTROL}.items():
            (Path(folder) / name).write_text(script)
            (Path(folder) / name).chmod(0o755)
        path = os.pathsep.join([folder, str(Path(sys.executable).parent), os.environ["PATH"]])
        job = {"ID": "7", "NODELIST": "localhost", "NUM_NODES": "1"}
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
        for name, value in {"PATH": path, "STUBS": folder, "RAY_TMPDIR": folder}.items():
            monkeypatch.setenv(name, value)
        for name, value in job.items():
            monkeypatch.setenv(f"SLURM_JOB_{name}", value)
        yield Path(folder)


def sbatch(script: str, *args: object, timeout: float = 2 * TIMEOUT_S) -> "subprocess.CompletedProcess[str]":
    command = [*ALONE, "bash", "-c", START, "bash", str(CLUSTERS / script), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.mark.stress
@pytest.mark.parametrize("script", ["slurm.sbatch", "slurm-shared.sbatch"])
def test_a_run_as_a_job(stubs: Path, script: str, small: Path, tmp_path: Path) -> None:
    ended = sbatch(script, small, tmp_path / "out")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert read_table(tmp_path / "out", "models")["moment"].to_pylist() == ["initial", "stage"]
    calls = (stubs / "calls").read_text()
    assert "scontrol show hostnames localhost" in calls
    assert "--nodes=1 --ntasks=1" in calls
    assert "requeue" not in calls


@pytest.mark.stress
@pytest.mark.parametrize("script", ["slurm.sbatch", "slurm-shared.sbatch"])
def test_a_job_whose_time_is_over_is_queued_again_and_goes_on(
    stubs: Path, script: str, small: Path, tmp_path: Path
) -> None:
    """The signal comes from a stub of `raysim` that says what it gets; the second job is the real one."""
    stub = stubs / "raysim"
    stub.write_text(STOPPED)
    stub.chmod(0o755)
    ended = sbatch(script, small, tmp_path / "out")
    assert ended.returncode != 0, ended.stdout
    calls = (stubs / "calls").read_text()
    assert "raysim was stopped" in calls
    assert calls.splitlines()[-1] == "scontrol requeue 7"
    stub.unlink()
    assert sbatch(script, small, tmp_path / "out").returncode == 0
