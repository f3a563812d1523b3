"""Jobs on a real cluster: submitted, left, found done, with the tables of a run in one process."""

import json
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from drive import command, hashes, raysim, started
from job_heads import job_head

from raysim.core.own_source import own_files

QUICK: dict[str, Any] = {"strategies": [{"fedavg": {"rounds": 1}}], "measure": {"perplexity": {}}}
ON_RAY = {"execution": {"share_actors": True, "slots": 1}}
"""Few processes to start, which the cluster has."""


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    with job_head() as address:
        yield address


def jobs(head: str) -> list[dict[str, Any]]:
    return json.loads(raysim("jobs", "--address", head, "--json").stdout)


def actors(head: str) -> set[str]:
    """Classes of the actors that the cluster has had."""
    headers = {"Authorization": f"Bearer {os.environ['RAY_AUTH_TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{head}/api/v0/actors", headers=headers)) as answer:
        return {row["class_name"] for row in json.load(answer)["data"]["result"]["result"]}


def test_a_job_outlives_its_clients_and_is_there_once(
    head: str, tiny: Callable[..., Path], corpus_folders: dict[str, Path], tmp_path: Path
) -> None:
    """Two submit at once; one client is killed, one gets Ctrl-C; a third follows to the end."""
    shutil.copytree(corpus_folders["alpha"], tmp_path / "public")  # references that travel with the experiment
    path = tiny(**QUICK, **ON_RAY, references=[{"path": "public", "include": ["stat.py"]}])
    out, log = tmp_path / "out", tmp_path / "left.log"
    submit = ["submit", path, "--address", head, "--out", out]
    with started(*submit) as killed, started(*submit, output=log) as left:
        left.until(lambda: "Preparing" in log.read_text())
        killed.kill()
        left.send_signal(signal.SIGINT)
    (name,) = [job["name"] for job in jobs(head)]
    assert left.returncode == 3
    assert f"{name} goes on; raysim attach {name} --address {head}" in log.read_text()

    attached = raysim("attach", name, "--address", head)
    assert attached.returncode == 0, attached.stdout + attached.stderr
    assert "trained" in attached.stdout
    assert "\x1b" not in attached.stdout
    assert "OrganizationHost" in actors(head)
    assert [(job["exit_code"], job["about"]["out"]) for job in jobs(head)] == [(0, str(out))]
    here = raysim("run", path, "--out", tmp_path / "here", "--set", "execution.backend=inline")
    assert here.returncode == 0, here.stderr
    assert hashes(out) == hashes(tmp_path / "here")


def test_one_at_work_is_not_submitted_again_and_a_stopped_one_is(
    head: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    trainer = {"epochs": 1_000_000, "sequence_length": 64, "batch_size": 8}
    endless = tiny(strategies=["single"], execution={"backend": "inline"}, trainer=trainer)
    submit = ["submit", endless, "--address", head, "--out", tmp_path / "out", "--detach"]
    first, second = raysim(*submit), raysim(*submit)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert "is at work already" in second.stderr
    name = first.stdout.strip()
    assert raysim("stop", name, "--address", head).returncode == 0
    attached = raysim("attach", name, "--address", head)
    assert (attached.returncode, f"{name}: it was stopped" in attached.stderr) == (3, True)
    third = raysim(*submit).stdout.strip()
    assert third == f"{name.removesuffix('-1')}-2"
    assert raysim("stop", third, "--address", head).returncode == 0
    # One that is stopped while it starts was seen to go on when its head had ended: this one would have no end.
    for process in psutil.process_iter(["cmdline"]):
        if str(tmp_path / "out") in (process.info["cmdline"] or ()):
            process.kill()


def test_what_is_wrong_is_an_error_of_the_submitter(head: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    """What only the cluster can know is the job's exit code; all else is known before anything is sent."""
    there = {"a": {"source": {"path": "/nowhere"}, "agreement": {"share": "data"}}}
    options = ["--address", head, "--out", tmp_path / "out"]
    before = len(jobs(head))
    ended = raysim("submit", tiny(organizations=there, execution={"backend": "inline"}), *options)
    assert ended.returncode == 2, ended.stderr
    assert "/nowhere" in ended.stdout
    ended = raysim("submit", tiny(strategies=["sinle"]), *options)
    assert (ended.returncode, "sinle" in ended.stderr) == (2, True)
    assert len(jobs(head)) == before + 1
    ended = raysim("attach", "raysim-none-1", "--address", head)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)


def test_another_token_is_refused(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "1f" * 32)
    ended = raysim("jobs", "--address", head)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "it asks for a token, and there is none here, or another" in ended.stderr


@pytest.mark.stress
def test_a_raysim_that_the_cluster_lacks_travels(head: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    """To the driver and to the actors."""
    own = tmp_path / "own"
    for name, file in own_files().items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, own / name)
    execute, organization = own / "raysim/experiment/run.py", own / "raysim/organizations/host.py"
    execute.write_text(execute.read_text().replace("Preparing the corpora", "Preparing the corpora anew"))
    organization.write_text(f"{organization.read_text()}\nopen({str(tmp_path / 'actor')!r}, 'w').close()\n")
    path = tiny(**QUICK, **ON_RAY)
    submit = command("submit", path, "--address", head, "--out", tmp_path / "out")
    there = {**os.environ, "PYTHONPATH": str(own)}
    ended = subprocess.run(submit, env=there, cwd=own, capture_output=True, text=True)  # not in the tree of sources
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "raysim itself, of which the cluster has none" in ended.stderr
    assert "Preparing the corpora anew" in ended.stdout
    assert (tmp_path / "actor").exists()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["finished"]
