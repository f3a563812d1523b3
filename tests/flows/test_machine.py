"""The machine says no: one line with the path and what to do, and whoever stops a command gets exit code 3."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from drive import raysim, started
from foreign_package import installed_package

Tiny = Callable[..., Path]

RAY = ["--set", "execution.backend=ray"]


def one_line(stderr: str) -> str:
    assert "Traceback" not in stderr
    (line,) = stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a short path that everybody may use."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def temporary(folder: Path, name: str = "TMPDIR") -> str:
    """Code that sets where temporary files lie; in the process of the command alone."""
    return f"import os\nos.environ[{name!r}] = {str(folder)!r}\n"


DROP = """
import ctypes
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
"""
"""Makes root a user like any other: what is somebody else's is closed to it."""


def test_a_long_path_for_temporary_files(tiny: Tiny, tmp_path: Path) -> None:
    long = tmp_path / ("x" * max(1, 94 - len(str(tmp_path))))
    long.mkdir()
    assert len(str(long)) >= 95
    for name in ("TMPDIR", "RAY_TMPDIR"):
        ended = raysim("run", tiny(), "--out", tmp_path / "out", *RAY, before=temporary(long, name))
        assert ended.returncode == 2
        line = one_line(ended.stderr)
        assert "embedded Ray: " in line
        assert str(long) in line
        assert "name a folder with a shorter path" in line
        assert f"RAY_TMPDIR=/tmp/ray-{os.getuid()}" in line


def test_a_temporary_folder_of_ray_that_is_somebody_elses(tiny: Tiny, open_folder: Path) -> None:
    if os.getuid():
        pytest.skip("takes root to give a folder to somebody else")
    (open_folder / "ray").mkdir(mode=0o755)
    os.chown(open_folder / "ray", 65534, 65534)
    ended = raysim("run", tiny(), "--out", open_folder / "out", *RAY, before=temporary(open_folder) + DROP)
    assert ended.returncode == 2, ended.stderr
    line = one_line(ended.stderr)
    assert f"embedded Ray: {open_folder}/ray" in line
    assert "Permission denied; let this user read and write it, or name another; RAY_TMPDIR says where" in line


def test_a_file_where_ray_makes_a_folder(tiny: Tiny, open_folder: Path) -> None:
    (open_folder / "ray").touch()
    ended = raysim("run", tiny(), "--out", open_folder / "out", *RAY, before=temporary(open_folder))
    assert ended.returncode == 2, ended.stderr
    assert f"embedded Ray: {open_folder}/ray" in one_line(ended.stderr)


@pytest.mark.parametrize("option", ["--out", "--store"])
def test_a_folder_that_cannot_be_made(tiny: Tiny, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    places = {"--out": tmp_path / "out", "--store": tmp_path / "store"} | {option: tmp_path / "file" / "x"}
    ended = raysim("run", tiny(), *(word for pair in places.items() for word in pair))
    assert ended.returncode == 2, ended.stderr
    assert f"{tmp_path / 'file' / 'x'}: cannot be used" in one_line(ended.stderr)


ADDRESSES = [
    ("ray://127.0.0.1:10001", "raysim submit"),
    ("http://127.0.0.1:8265", "raysim submit"),
    ("127.0.0.1:1", "no Ray cluster answers there"),
    ("127.0.0.1:port", "no Ray cluster answers"),
]


@pytest.mark.parametrize(("address", "told"), ADDRESSES)
def test_an_address_that_leads_to_no_cluster(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    """Given, or of the environment; without Ray the environment's is nobody's business."""
    given = raysim("run", tiny(), "--out", tmp_path / "out", "--address", address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    found = raysim("run", tiny(), "--out", tmp_path / "out", *RAY)
    for ended, origin in ((given, "--address"), (found, "RAY_ADDRESS")):
        assert ended.returncode == 2, ended.stderr
        line = one_line(ended.stderr)
        assert f"{origin} {address}: " in line
        assert told in line
    if "://" in address:
        assert not (tmp_path / "out").exists()
    assert raysim("plan", tiny()).returncode == 0


STRATEGY = """
from raysim.strategies.fedavg import FedAvg
class FedMine(FedAvg): ...
"""


def test_a_package_that_a_node_lacks_is_named_before_anything_starts(
    tiny: Tiny, tmp_path: Path, ray_address: str
) -> None:
    """It is on the path of the driver alone, which joins a Ray that was started without."""
    with installed_package(tmp_path / "one", "raysim_fedmine", STRATEGY, "raysim.strategies", "fedmine = x:X"):
        pass
    info = tmp_path / "one" / "raysim_fedmine-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: raysim-fedmine\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[raysim.strategies]\nfedmine = raysim_fedmine:FedMine\n")
    path = tiny(strategies=["single", {"fedmine": {"rounds": 1}}])
    before = f"import sys\nsys.path.insert(0, {str(tmp_path / 'one')!r})"
    assert raysim("plan", path, before=before).returncode == 0
    ended = raysim("run", path, "--out", tmp_path / "out", "--address", ray_address, before=before)
    assert ended.returncode == 2, ended.stderr
    node = ray_address.rpartition(":")[0]
    assert f"strategy fedmine (raysim-fedmine 0.1) is not installed on node {node}: every" in one_line(ended.stderr)
    assert not (tmp_path / "out" / "stages.jsonl").exists()


def test_a_class_that_is_no_strategy(tiny: Tiny, tmp_path: Path) -> None:
    with installed_package(tmp_path / "one", "odd", "Thing = dict", "raysim.strategies", "odd = odd:Thing"):
        pass
    before = f"import sys\nsys.path.insert(0, {str(tmp_path / 'one')!r})"
    for command in ("plan", "run", "inspect"):
        ended = raysim(command, tiny(strategies=["odd"]), "--out", tmp_path / "out", before=before)
        assert ended.returncode == 2, ended.stderr
        assert "strategies[0]: strategy 'odd' (odd:Thing) is no Strategy: its Settings" in one_line(ended.stderr)
    ended = raysim("schema", before=before)
    assert (ended.returncode, "is no Strategy" in one_line(ended.stderr)) == (2, True)


def test_folders_of_a_users_own_shadow_nothing(tiny: Tiny, tmp_path: Path) -> None:
    """As in the working directory of a Ray job; `strategies` is the name of a folder of ours, too."""
    for name in ("strategies", "corpus", "core", "cli"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('the user's own {name}')")
        for module in ("single", "fedavg", "main", "errors"):
            (tmp_path / name / f"{module}.py").write_text("raise ImportError('a module of the user's own')")
    shown = subprocess.run(
        [sys.executable, "-m", "raysim", "schema"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert "fedyogi" in str(json.loads(shown.stdout)["properties"]["strategies"])


PHASES = ["Preparing the corpora", "Training", "Writing the tables", "Writing the report"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_a_run_gets_3_in_every_phase(
    finished_small: tuple[Path, Path], tiny: Tiny, tmp_path: Path, number: signal.Signals
) -> None:
    """While it imports and reads, while it works, and when only the tables and the report are left."""
    path, finished = finished_small
    shutil.copytree(finished, tmp_path / "out")
    for phase in PHASES:
        output = tmp_path / f"{phase}.txt"
        output.touch()
        with started("run", path, "--out", tmp_path / "out", "--set", "execution.retries=2", output=output) as driver:
            driver.until(lambda output=output, phase=phase: phase in output.read_text())
            driver.send_signal(number)
        assert driver.returncode == 3, output.read_text()
        assert "Traceback" not in output.read_text()
        assert output.read_text().endswith("\nstopped; the same command goes on from here\n")
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr


SHOOT = """
import os, threading, time
def shoot():
    time.sleep({after_s})
    os.write(2, b"shot\\n")
    os.kill(os.getpid(), {number})
threading.Thread(target=shoot, daemon=True).start()
"""


@pytest.mark.stress
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_is_not_lost(
    finished_small: tuple[Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    """At a hundred moments of a run that looks all its work up; one that comes after the outcome changes nothing."""
    path, finished = finished_small
    shutil.copytree(finished, tmp_path / "out")
    started_s = time.monotonic()
    assert raysim("run", path, "--out", tmp_path / "out").returncode == 0
    whole_s, hits = time.monotonic() - started_s, 0
    for after_s in np.random.Generator(np.random.Philox(7)).uniform(0.1, whole_s, 100):
        before = SHOOT.format(after_s=after_s, number=int(number))
        ended = raysim("run", path, "--out", tmp_path / "out", before=before)
        assert "Traceback" not in ended.stderr
        if "shot" in ended.stderr and "Report: " not in ended.stdout:
            assert ended.returncode == 3, ended.stdout
            hits += 1
    assert hits > 50


@pytest.mark.slow
def test_a_scheduler_stops_a_run_on_a_ray_of_its_own(tiny: Tiny, tmp_path: Path) -> None:
    """`ray.init` sets a handler for SIGTERM, which would end the command with 15."""
    path, output = tiny(strategies=["single"], trainer={"epochs": 500, "sequence_length": 64}), tmp_path / "output"
    output.touch()
    with started("run", path, "--out", tmp_path / "out", *RAY, output=output) as driver:
        driver.until(lambda: "Preparing the corpora" in output.read_text())
        driver.send_signal(signal.SIGTERM)
    assert driver.returncode == 3, output.read_text()
    assert "Traceback" not in output.read_text()
