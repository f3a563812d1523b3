"""A node that is taken away hands over what its stage has done, and the stage goes on elsewhere from there."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import hashes, raysim, started
from rays import foreign_ray, joined_node

from raysim.cluster.forking import SHARED
from raysim.store.task_log import read_log

EPOCHS = 10


@contextmanager
def three_nodes() -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of a head, and two nodes with the label ``site=far``, as processes by their identifiers."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        place, options = Path(folder), ("--num-cpus=1", "--labels", "site=far")
        with (
            foreign_ray(place / "head", "--num-cpus=1") as address,
            joined_node(place / "one.log", address, *options) as one,
            joined_node(place / "other.log", address, *options) as other,
        ):
            yield address, {"one": one, "other": other}


def work_under_way(out: Path) -> list[dict[str, Any]]:
    """Training that the progress log of a run names last."""
    lines = (out / "progress.jsonl").read_text().splitlines() if (out / "progress.jsonl").exists() else []
    rows = [json.loads(line) for line in lines if '"work"' in line]
    return [one for one in (rows[-1]["under_way"] if rows else []) if one["kind"] == "train"]


def said(log: Path) -> str:
    """What a command said, without the ends of its lines."""
    return " ".join(log.read_text().split())


@pytest.fixture(autouse=True)
def no_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Organizations are looked for below their nodes."""
    monkeypatch.setenv(SHARED, "")


def has_actors(node: Any) -> bool:
    """Whether an organization trains below the process of a node."""
    import psutil

    titles = []
    for process in psutil.Process(node.pid).children(recursive=True):
        try:
            titles.append((process.cmdline() or [""])[0])
        except psutil.NoSuchProcess:
            continue
    return any(title.startswith("ray::Organization.train") for title in titles)


@pytest.mark.stress
def test_a_stage_goes_on_from_the_step_at_which_its_node_was_taken(small: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(small.read_text())
    raw["trainer"]["epochs"] = EPOCHS
    small.write_text(yaml.safe_dump(raw))
    ended = raysim("run", small, "--out", tmp_path / "inline")
    assert ended.returncode == 0, ended.stderr
    out, log = tmp_path / "out", tmp_path / "log"
    pin = "organizations.alpha.node={site: far}"
    with three_nodes() as (address, nodes):
        command = ["run", small, "--out", out, "--address", address, "--set", pin]
        command += ["--set", "execution.checkpoint_every_s=1e6"]
        with started(*command, output=log) as driver:
            driver.until(lambda: any(one["share"] > 0.1 for one in work_under_way(out)))
            (victim,) = [node for node in nodes.values() if has_actors(node)]
            (before,) = [one["share"] for one in work_under_way(out)]
            victim.terminate()
            driver.until(lambda: "is about to go" in said(log))
            assert victim.poll() is None  # there was time
    assert driver.returncode == 0, log.read_text()
    kept, steps = map(int, re.findall(r"about to go; step (\d+) of (\d+) is kept", said(log))[0])
    assert before * steps <= kept < steps
    (stage,) = [row for row in read_log(out / "stages.jsonl") if row["kind"] == "train"]
    attempts = [row for row in read_log(out / "attempts.jsonl") if row["kind"] == "train"]
    assert stage["attempts"] == len(attempts) == 2
    # Of all steps, what the second attempt did is what the first had not; steps differ in length.
    tokens = stage["tokens"] // steps
    assert stage["training"]["tokens"] == pytest.approx(tokens * (steps - kept), abs=10 * tokens)
    assert hashes(out) == hashes(tmp_path / "inline")
