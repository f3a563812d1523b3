"""One experiment, end to end: equal tables whoever does the work, nothing computed twice, damage found and mended."""

import json
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from drive import hashes, raysim, started
from store_runs import killed_after

from raysim.store.task_log import read_log
from raysim.tables.io import read_table


@pytest.fixture
def finished(finished_once: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A finished inline run, this test's own copy: its experiment and its folder."""
    path, out = finished_once
    shutil.copytree(out, tmp_path / "out")
    return path, tmp_path / "out"


def _computed(out: Path) -> Counter[str]:
    return Counter(row["kind"] for row in read_log(out / "stages.jsonl") if row["status"] == "computed")


def test_plan_agrees_with_the_stages(finished: tuple[Path, Path]) -> None:
    path, out = finished
    plan = json.loads(raysim("plan", path, "--json").stdout)["strategies"]
    assert (plan["incremental"]["naive"], plan["incremental"]["unique"]) == (18, 15)
    rows = [row for row in read_log(out / "stages.jsonl") if row["kind"] == "train"]
    for label, row in plan.items():
        assert len({r["key"] for r in rows if r["setting"] == label}) == row["unique"]
    cached = json.loads(raysim("plan", path, "--out", out, "--json").stdout)
    assert all(row["cached"] == row["unique"] for row in cached["strategies"].values())
    assert not any(cached["tokens"].values())


def test_second_run_computes_nothing(finished: tuple[Path, Path]) -> None:
    path, out = finished
    before, tables = _computed(out), hashes(out)
    started_s = time.monotonic()
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - started_s < 30
    assert _computed(out) == before
    assert hashes(out) == tables


def test_tables_are_filled(finished: tuple[Path, Path]) -> None:
    _, out = finished
    models = read_table(out, "models").to_pylist()
    # 3 single, 1 centralized, 6 orders of 3, 2 x 2 rounds, and the initial model of each of the 12 instances.
    assert len(models) == 3 + 1 + 18 + 4 + 12
    assert len({m["model"] for m in models}) == 1 + 1 + 15 + 4
    samples = read_table(out, "samples").to_pylist()
    prompts = read_table(out, "prompts").num_rows
    assert len(samples) == 21 * prompts * 2 * 3
    assert all(s["covered"] == s["exclusive"] + s["shared"] + s["public"] for s in samples)
    kinds = {row["kind"] for row in read_table(out, "ledger").to_pylist()}
    assert {"weights", "metrics", "sequences", "losses", "generate", "line hashes"} <= kinds


def test_report_again_from_results_alone(finished: tuple[Path, Path]) -> None:
    _, out = finished
    first = (out / "report.html").read_text()
    (out / "report.html").unlink()
    (out / "store").rename(out.parent / "elsewhere")
    ended = raysim("report", out)
    assert ended.returncode == 0, ended.stderr
    assert (out / "report.html").read_text() == first


def test_damaged_entry_is_reported_and_computed_again(finished: tuple[Path, Path]) -> None:
    path, out = finished
    tables = hashes(out)
    key = next(row["key"] for row in read_log(out / "stages.jsonl") if row["kind"] == "train")
    victim = out / "store" / "objects" / key[:2] / key / "weights.npy"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert key in ended.stdout
    assert "weights.npy" in ended.stdout
    computed = [r for r in read_log(out / "stages.jsonl") if r["key"] == key and r["status"] == "computed"]
    assert len(computed) == 2
    assert hashes(out) == tables


def test_nan_loss_names_the_stage(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny(strategies=["single"], trainer={"epochs": 4, "sequence_length": 64, "learning_rate": 1e30})
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr
    assert re.search(r"single (alpha|beta|gamma), stage 1", ended.stderr)
    assert "learning_rate" in ended.stderr


def test_second_driver_on_a_folder_is_refused(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path, out = tiny(trainer={"epochs": 200, "sequence_length": 64}), tmp_path / "out"
    output = tmp_path / "output"
    with started("run", path, "--out", out, output=output) as first:
        first.until(lambda: "Training" in output.read_text())
        second = raysim("run", path, "--out", out)
        first.kill()
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr


@pytest.mark.slow
def test_killed_and_interrupted_goes_on_to_equal_tables(finished_small: tuple[Path, Path], tmp_path: Path) -> None:
    """SIGKILL of the driver, and later Ctrl-C."""
    _goes_on_to_equal_tables(*finished_small, tmp_path / "killed", 2)


@pytest.mark.stress
@pytest.mark.parametrize("count", [4, 10])
def test_killed_anywhere_goes_on_to_equal_tables(finished: tuple[Path, Path], tmp_path: Path, count: int) -> None:
    """SIGKILL and Ctrl-C of the driver, in turns, at moments spread over the stages of one run."""
    _goes_on_to_equal_tables(*finished, tmp_path / "killed", count)


def _goes_on_to_equal_tables(path: Path, undisturbed: Path, out: Path, count: int) -> None:
    total = len({row["key"] for row in read_log(undisturbed / "stages.jsonl")})
    for number in range(1, count + 1):
        kill = signal.SIGKILL if number % 2 else signal.SIGINT
        _kill_after(path, out, number * total // (count + 1), kill)
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert hashes(out) == hashes(undisturbed)
    computed = [r["key"] for r in read_log(out / "stages.jsonl") if r["status"] == "computed"]
    assert max(Counter(computed).values()) == 1


def _kill_after(path: Path, out: Path, computed: int, kill: signal.Signals) -> None:
    """Starts a driver that is killed as soon as that many distinct stages are in its log."""
    output = out.with_suffix(".output")
    with started("run", path, "--out", out, output=output, before=killed_after(out, computed, number=kill)) as driver:
        driver.wait()
    assert "Traceback" not in output.read_text()
    assert driver.returncode == (3 if kill == signal.SIGINT else -signal.SIGKILL)


FEATURES = (
    *("--set", "measure.memorization.renamed={min_tokens: 6}"),
    *("--set", "measure.memorization.output_filter={lines: 2}"),
)
"""Measures that have long forms of their own: what asks organizations for more than a run must."""


@pytest.mark.slow
def test_equal_tables_on_a_ray_of_its_own(finished_small: tuple[Path, Path], tmp_path: Path) -> None:
    """Inline against Ray with two organizations at a time: a stage behind another, rounds, and `FEATURES`."""
    path, finished = finished_small
    shutil.copytree(finished / "store", tmp_path / "store")
    ended = raysim("run", path, "--out", tmp_path / "inline", "--store", tmp_path / "store", *FEATURES)
    assert ended.returncode == 0, ended.stderr
    ended = _run_on(path, tmp_path / "ray", "ray", 2, *FEATURES)
    assert ended.returncode == 0, ended.stderr
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "inline")
    for name in ("renamed", "filter_blocks"):
        assert read_table(tmp_path / "ray", name).num_rows, name


@pytest.mark.stress
@pytest.mark.parametrize("slots", [1, 2])
def test_equal_tables_of_every_strategy_on_a_ray_of_its_own(
    finished: tuple[Path, Path], tmp_path: Path, slots: int
) -> None:
    """Inline against Ray with 1 and 2 organizations at a time."""
    path, inline = finished
    ended = _run_on(path, tmp_path / "ray", "ray", slots)
    assert ended.returncode == 0, ended.stderr
    assert hashes(tmp_path / "ray") == hashes(inline)


def _run_on(path: Path, out: Path, backend: str, slots: int, *more: str) -> CompletedProcess[str]:
    return raysim("run", path, "--out", out, "--set", f"execution={{backend: {backend}, slots: {slots}}}", *more)
