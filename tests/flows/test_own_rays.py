"""`clusters/laptop.sh` and `machine.sh`: a Ray of one's own, beside others, that ends alone."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from drive import TIMEOUT_S, raysim

CLUSTERS = Path(__file__).parents[2] / "clusters"


class Rays:
    """Rays of the scripts, by the name that each is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, script: str, name: str, *args: str) -> "subprocess.CompletedProcess[str]":
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        places = {"RAYSIM_CLUSTER": name, "RAYSIM_CLUSTER_FOLDER": str(self.folder / name), "PATH": path}
        command, environment = [str(CLUSTERS / script), *args], {**os.environ, **places}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)

    def family(self, name: str) -> list[psutil.Process]:
        head = psutil.Process(int((self.folder / name / "pid").read_text()))
        return [head, *head.children(recursive=True)]


@pytest.fixture
def rays() -> Iterator[Rays]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        found = Rays(Path(folder))
        try:
            yield found
        finally:
            for name in Path(folder).iterdir():
                found.call("machine.sh", name.name, "stop")


def test_a_ray_of_a_laptop_stays_up_between_runs_and_ends_alone(
    rays: Rays, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_ray = ("--num-cpus=1", "--include-dashboard=false", "--object-store-memory=100000000")
    up = rays.call("laptop.sh", "one", "start", *small_ray)
    assert up.returncode == 0, up.stderr
    address = up.stdout.strip()
    assert int(address.rpartition(":")[2]) in ports(rays.family("one"))
    again = rays.call("laptop.sh", "one", "start", *small_ray)
    assert again.returncode == 2
    assert again.stderr.startswith("error: a Ray named one is up here already: ")
    other = rays.call("machine.sh", "two", "head", *small_ray)
    assert other.returncode == 0, other.stderr
    one, two = rays.family("one"), rays.family("two")
    assert not ports(one) & ports(two)
    monkeypatch.setenv("RAY_ADDRESS", address)
    ended = raysim("run", small, "--out", tmp_path / "out", "--set", "execution.backend=ray")
    assert ended.returncode == 0, ended.stderr
    assert rays.call("laptop.sh", "one", "stop").returncode == 0
    _, alive = psutil.wait_procs(one, 10)
    assert alive == []
    assert not (rays.folder / "one" / "ray").exists()
    assert all(process.is_running() for process in two)


def test_what_does_not_start_says_why(rays: Rays) -> None:
    ended = rays.call("machine.sh", "one", "join", "127.0.0.1:1", "--no-such-option")
    assert ended.returncode == 2
    assert "no such option" in ended.stderr.lower()
    assert ended.stderr.splitlines()[-1].startswith("error: the Ray named one does not start")
    for wrong in ((), ("join",), ("up",)):
        ended = rays.call("machine.sh", "one", *wrong)
        assert (ended.returncode, ended.stderr.startswith("error: usage: ")) == (2, True)


def ports(family: list[psutil.Process]) -> set[int]:
    """At which processes listen."""
    found = (one for process in family for one in process.net_connections("inet"))
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}
