"""Training that diverges: said by name, never stored as done, and no end of the points beside it."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import raysim

from raysim.store.store import Store
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

ONE_STEP = {"epochs": 1, "sequence_length": 64, "batch_size": 512, "schedule": "constant", "warmup_fraction": 0}


@pytest.mark.parametrize(
    ("settings", "label", "told"),
    [
        (
            {"strategies": [{"fedyogi": {"rounds": 1, "eta": 1e30}}]},
            "fedyogi, round 1: aggregation",
            r"the server's step under eta: 1e\+30, .*tau: 0\.001, .* has norm \S+, updates alpha [\d.]+, beta",
        ),
        (
            {"strategies": [{"fedadagrad": {"rounds": 1, "eta": 1e38, "tau": 1e-50}}]},
            "fedadagrad, round 1: aggregation",
            r"the server's step under .*tau: 1e-50, .* has norm \S+, updates alpha [\d.]+, beta",
        ),
        ({"strategies": ["single"], "trainer": {**ONE_STEP, "learning_rate": 1e25}}, "single ", ""),
        ({"strategies": ["single"], "trainer": {**ONE_STEP, "learning_rate": 1e38}}, "single ", ""),
        (
            {"strategies": [{"fedavg": {"rounds": 1}}], "trainer": {**ONE_STEP, "learning_rate": 1e38}},
            "fedavg, round 1: ",
            r"^error: fedavg, round 1: (alpha|beta|gamma): ",
        ),
    ],
    ids=["the server", "no adaptivity", "the last step", "the last step, to no number", "a client of a round"],
)
def test_what_has_diverged_is_named_and_not_stored(
    settings: dict[str, Any], label: str, told: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    path = tiny(measure={}, **settings)
    for _ in range(2):
        ended = raysim("run", path, "--out", tmp_path / "out")
        assert ended.returncode == 3, ended.stderr
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"error: {label}"), line
        assert "weights are not finite or too large: training has diverged; lower" in line
        assert re.search(told, line), line
    store = Store(tmp_path / "out/store")
    made = {entry.recipe["kind"] for key in store if (entry := store.get(key))}
    assert ("train" in made) == label.endswith("aggregation")
    assert "aggregate" not in made
    ended = raysim("report", tmp_path / "out")
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_sweep_reports_the_points_that_did_not_diverge(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny(
        measure={}, strategies=[{"fedyogi": {"rounds": 1}}], sweep={"strategies.fedyogi.eta": [0.01, 1e30, 0.03]}
    )
    out = tmp_path / "out"
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "Two of them finished; 1 diverged." in ended.stdout
    assert "Diverged: point eta=1e+30: fedyogi" in ended.stdout.replace("\n", " ")
    assert {row["point"] for row in read_table(out, "sweep").to_pylist()} == {"eta=0.01", "eta=0.03"}
    assert list(json.loads((out / "manifest.json").read_text())["diverged"]) == ["eta=1e+30"]
    assert "diverged" in (out / "report.html").read_text()
    assert (out / "points/eta=0.03/report.html").is_file()
    assert raysim("report", out).returncode == 0
    assert raysim("run", path, "--out", out).returncode == 0
    again = [row["key"] for row in read_log(out / "points/eta=0.03/stages.jsonl") if row["status"] == "computed"]
    assert len(again) == len(set(again))


@pytest.mark.slow
def test_a_model_that_computes_no_numbers_is_measured_and_reported(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """Its weights are finite, its losses are not: every measure and the report stand it."""
    measure = {
        "memorization": {
            "prompts": {"function": 1, "prefix": 2},
            "prefix_tokens": 16,
            "samples": 2,
            "new_tokens": 8,
            "min_lines": 2,
            "extraction": {"passages": 2, "prefix_tokens": [8], "suffix_tokens": 16},
        },
        "membership": {"chunk_tokens": 16},
        "exposure": {"candidates": 9},
    }
    path = tiny(
        strategies=["single", {"fedyogi": {"rounds": 1, "eta": 1e16}}],
        canaries={"count": 1, "repeats": [0, 2], "length": 4},
        measure=measure,
    )
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr, ended.stderr
    assert "nan" in ended.stdout
    assert "nan" in (tmp_path / "out/report.html").read_text()
    models = read_table(tmp_path / "out", "models").to_pylist()
    diverged = {row["model"] for row in models if row["final"] and row["strategy"] == "fedyogi"}
    losses = read_table(tmp_path / "out", "losses").to_pylist()
    assert {row["model"] for row in losses if math.isnan(row["nats"])} == diverged
    exposed = [row for row in read_table(tmp_path / "out", "canaries").to_pylist() if row["model"] in diverged]
    assert {row["exposure"] for row in exposed} == {0.0}
