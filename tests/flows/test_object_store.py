"""A run whose folder is on an object store: killed on one machine, it goes on on another to equal tables."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from drive import hashes, raysim, started
from store_runs import computed

from raysim.core.remote_folder import RemoteFolder
from raysim.store.mirror import Mirror

OFTEN = (
    "import functools, raysim.experiment.working_folder as place;"
    "place.mirrored = functools.partial(place.mirrored, every_s=0.05)"
)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a folder in a bucket of a server for S3's protocol, on this machine."""
    from pyarrow import fs

    for name, value in {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "mine", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "moto.server", "-H", *place.split(":")[:1], "-p", place.split(":")[1]]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _await_answer(place)
            fs.S3FileSystem(endpoint_override=place, scheme="http", allow_bucket_creation=True).create_dir("runs")
            yield f"s3://runs/study?endpoint_override={place}&scheme=http"
        finally:
            server.terminate()


def _await_answer(place: str) -> None:
    host, port = place.split(":")
    for _ in range(600):
        with socket.socket() as asking:
            if asking.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers at {place}")


def test_a_run_that_is_killed_goes_on_on_another_machine(
    bucket: str, finished_small: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, local = finished_small
    remote = RemoteFolder(bucket)

    def on(machine: str) -> Path:
        """Its cache is where nothing of another machine is."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        return tmp_path / machine

    on("first")
    with started("run", path, "--out", bucket, output=tmp_path / "output", before=OFTEN) as driver:
        driver.until(lambda: sum(name.endswith("entry.json") for name, _ in remote.list()) >= 5)
        driver.kill()
    there = {name.split("/")[-2] for name, _ in remote.list() if name.endswith("entry.json")}
    torn = f"store/objects/{'0' * 2}/{'0' * 32}/weights.npy"
    remote.upload(path, torn)

    on("second")
    ended = raysim("run", path, "--out", bucket)
    assert ended.returncode == 0, ended.stderr
    out = tmp_path / "brought"
    Mirror(out, remote).pull()
    assert hashes(out) == hashes(local)
    assert not (out / torn).exists()
    anew = sum(computed(out).values())
    assert (
        0 < anew <= sum(computed(local).values()) + 2
    )  # a line of a log that was not copied, or one of work done twice

    on("third")
    ended = raysim("run", path, "--out", bucket)
    assert ended.returncode == 0, ended.stderr
    Mirror(out, remote).pull()
    assert sum(computed(out).values()) == anew
    assert there <= {name.split("/")[-2] for name, _ in remote.list() if name.endswith("entry.json")}


def test_a_bucket_that_is_not_there_is_said_before_anything_starts(
    bucket: str, finished_small: tuple[Path, Path]
) -> None:
    wrong = bucket.replace("//runs/", "//nowhere/")
    ended = raysim("run", finished_small[0], "--out", wrong)
    assert ended.returncode == 2, ended.stderr
    assert "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr
