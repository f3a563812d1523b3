"""A folder keeps to one experiment: more rows come to it, other settings do not, and an unfinished run says so."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from drive import hashes, raysim, started

import raysim as package
from raysim.store.task_log import read_log
from raysim.tables.io import is_stale, read_table


@pytest.fixture
def finished(finished_small: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A finished inline run of four stages, this test's own copy: its experiment and its folder."""
    path, out = finished_small
    shutil.copytree(out, tmp_path / "out")
    return path, tmp_path / "out"


def _trained(out: Path) -> set[str]:
    log = out / "stages.jsonl"  # of a run that begins anew it is away for a moment
    return {row["key"] for row in read_log(log) if row["kind"] == "train"} if log.exists() else set()


def test_other_settings_are_refused_and_more_rows_are_not(finished: tuple[Path, Path]) -> None:
    path, out = finished
    before = {file: file.read_bytes() for file in (out / "manifest.json", *out.glob("results/*"), out / "report.html")}
    for change, named in {
        "trainer.learning_rate=1e-3": "trainer.learning_rate",
        "preparation.split={valid: 0.5}": "preparation.split.train, preparation.split.valid",
        "strategies.fedyogi.rounds=3": "strategies.fedyogi.rounds",
    }.items():
        ended = raysim("run", path, "--out", out, "--set", change)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert f"another experiment, which differs in {named};" in ended.stderr
    assert {file: file.read_bytes() for file in before} == before

    old = read_table(out, "models").to_pylist()
    added = (
        "--set",
        "seed=[1, 2]",
        "--set",
        "execution.slots=1",
        "--set",
        "strategies.incremental.orders=[[alpha, beta]]",
    )
    ended = raysim("run", path, "--out", out, *added)
    assert ended.returncode == 0, ended.stderr
    models = read_table(out, "models").to_pylist()
    assert [model for model in models if model["seed"] == 1] == old
    assert {model["seed"] for model in models} == {1, 2}


def test_an_interrupted_run_shows_how_far_it_came_and_no_number_of_another(finished: tuple[Path, Path]) -> None:
    path, out = finished
    before = _trained(out)
    num_stages = len(before)
    changed = "run", path, "--out", out, "--set", "trainer.learning_rate=1e-3"
    with started(*changed, "--overwrite") as driver:
        driver.until(lambda: not (out / "results").exists() and _trained(out) - before)
        driver.send_signal(signal.SIGINT)
    assert driver.returncode == 3
    trained = _trained(out)
    assert 0 < len(trained) < num_stages
    ended = raysim("report", out)
    assert ended.returncode == 0, ended.stderr
    said = f"stopped after {len(trained)} of {num_stages} stages"
    assert f"Unfinished: {said}." in ended.stdout
    assert f"<strong>Unfinished: {said}.</strong>" in (out / "report.html").read_text()
    results = package.open_results(out)
    assert said in repr(results)
    assert results.losses.num_rows == results.models.num_rows == 0
    ended = raysim(*changed)
    assert ended.returncode == 0, ended.stderr
    assert trained < _trained(out)
    assert package.open_results(out).progress == ""
    assert "Unfinished" not in (out / "report.html").read_text()


def test_tables_of_another_experiment_are_not_shown(finished: tuple[Path, Path]) -> None:
    """Nor those of a folder that was put together by hand; a folder of an older version has no hash, and is read."""
    _, out = finished
    assert package.open_results(out).losses.num_rows
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(manifest | {"hash": "0" * 32}))
    assert is_stale(out, "losses")
    assert package.open_results(out).losses.num_rows == 0
    assert package.open_results(out).tables == []
    before = hashes(out)
    del manifest["hash"], manifest["content"], manifest["stages"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert package.open_results(out).losses.num_rows
    path, _ = finished
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert hashes(out) == before
    assert not is_stale(out, "losses")
