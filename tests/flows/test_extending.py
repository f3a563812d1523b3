"""The examples of docs/extending.md, installed as packages of their own and run; raysim itself knows none of them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from drive import command, raysim

from raysim.core.json_lines import read_json_lines
from raysim.store.store import Store
from raysim.tables.io import read_table

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))
MOST_LINES = 59

Installed = Mapping[str, str]
"""An environment in which the examples are found."""


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_one_short_file_and_the_page_shows_it(name: str) -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (module,) = (EXAMPLES / name).glob("*.py")
    source = module.read_text(encoding="utf-8")
    assert source.count("\n") <= MOST_LINES
    assert f"```python\n{source}```" in page, f"docs/extending.md does not show {module.name} as it is"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The examples in a folder on the path, by pip, as a user would; the tested environment stays as it is."""
    base = tmp_path_factory.mktemp("extensions")
    copies = [copytree(EXAMPLES / name, base / name) for name in NAMES]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(base / "site")]
    done = subprocess.run([*pip, *options, *map(str, copies)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": str(base / "site")}


def raysim_with(installed: Installed, *args: object) -> str:
    done = raysim(*args, timeout=600, before=FIND.format(path=installed["PYTHONPATH"]))
    assert done.returncode == 0, done.stderr
    return done.stdout


def raysim_anew_with(installed: Installed, *args: object) -> str:
    """The same in an interpreter that finds the examples as a user's does, measures among them."""
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=600, env=dict(installed))
    assert done.returncode == 0, done.stderr
    return done.stdout


FIND = """
import os, sys
os.environ["PYTHONPATH"] = {path!r}
sys.path.insert(1, {path!r})
"""
"""What an interpreter does that starts with the examples on its path; measures it has looked for before."""


def losses_after(run_dir: Path, strategy: str) -> dict[int, float]:
    """Nats of all validation files, for the model after each round of a strategy."""
    models, losses = read_table(run_dir, "models"), read_table(run_dir, "losses")
    found: dict[int, float] = {}
    for row in models.to_pylist():
        if row["strategy"] == strategy:
            of_model = losses.filter(pc.equal(losses["model"], row["model"]))  # type: ignore[attr-defined]
            found[row["index"]] = sum(of_model["nats"].to_pylist())
    return found


@pytest.mark.slow
def test_a_strategy_from_outside_is_planned_run_and_measured(
    installed: Installed, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    path = tiny(strategies=[{"fedavg": {"rounds": 2}}, {"fedexp": {"rounds": 2}}], store={"keep": "all"})
    planned = json.loads(raysim_with(installed, "plan", path, "--json"))["strategies"]
    assert planned["fedexp"]["unique"] == planned["fedavg"]["unique"] == 6
    raysim_with(installed, "run", path, "--out", tmp_path / "out", "--set", "measure.memorization=null")
    assert list(losses_after(tmp_path / "out", "fedexp")) == [0, 1, 2]

    store = Store(tmp_path / "out" / "store")
    models = [row for row in read_table(tmp_path / "out", "models").to_pylist() if row["strategy"] == "fedexp"]
    sequences = [row["sequences"] for row in read_table(tmp_path / "out", "corpora").to_pylist() if row["sequences"]]
    for before, after in pairwise(models):
        start, end = (stored(store, row["model"])["weights"].astype(float) for row in (before, after))
        changes = [stored(store, key)["weights"] - start for key in after["parents"]]
        change = np.average(changes, axis=0, weights=sequences)
        rate = max(1.0, sum(np.square(one).sum() for one in changes) / (6 * (np.square(change).sum() + 1e-3)))
        np.testing.assert_allclose(end, start + rate * change, atol=1e-6)


def stored(store: Store, key: str) -> Mapping[str, Any]:
    entry = store.get(key)
    assert entry is not None
    return entry.arrays()


@pytest.mark.slow
def test_a_local_objective_from_outside_changes_training_and_its_keys(
    installed: Installed, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    strategies = [
        "single",
        {"anchored": {"label": "weak", "alpha": 0.0}},
        {"anchored": {"label": "strong", "alpha": 1000.0}},
    ]
    path = tiny(strategies=strategies, measure={"perplexity": {}})
    raysim_with(installed, "run", path, "--out", tmp_path / "out")
    plain, weak, strong = (losses_after(tmp_path / "out", name) for name in ("single", "weak", "strong"))
    assert plain[0] == weak[0] == strong[0]
    assert plain[1] < strong[1] <= strong[0] * 1.001, "a strong pull keeps clients near where they began"
    models = [row["model"] for row in read_table(tmp_path / "out", "models").to_pylist() if row["index"] == 1]
    assert len(set(models)) == len(models)


@pytest.mark.slow
def test_a_training_backend_from_outside_trains_and_resumes(
    installed: Installed, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    path = tiny(strategies=["single"], measure={"perplexity": {}})
    settings = ("--set", "trainer.backend=sgd", "--set", "trainer.learning_rate=0.5")
    raysim_with(installed, "run", path, "--out", tmp_path / "out", *settings, "--set", "execution.track=[lines]")
    trained = losses_after(tmp_path / "out", "single")
    assert trained[1] < trained[0]
    points = read_json_lines(tmp_path / "out" / "points.jsonl")  # of a tracker from outside
    assert {point["step"] for point in points if point["curve"] == "log_perplexity/beta/single beta, seed 1"} == {1}
    again = raysim_with(installed, "run", path, "--out", tmp_path / "out", *settings)
    assert "computed" not in again.splitlines()[-1]


@pytest.mark.slow
def test_a_source_from_outside_is_read_and_counts_what_it_skips(
    installed: Installed, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    for number in range(20):
        lines = [f"def step_{number}_{i}(x):\n" if i % 2 == 0 else "    return x + 1\n" for i in range(80)]
        cells = [{"cell_type": "markdown", "source": ["not code"]}, {"cell_type": "code", "source": lines}]
        (notebooks / f"n{number}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (notebooks / "broken.ipynb").write_text("{", encoding="utf-8")
    path = tiny(strategies=["single"], measure={"perplexity": {}})
    source = f"organizations.alpha.source={{notebooks: {{path: {notebooks}}}}}"
    found = json.loads(raysim_with(installed, "inspect", path, "--json", "--set", source))["organizations"]["alpha"]
    assert sum(split["files"] for split in found["splits"].values()) == 20
    assert {drop["reason"]: drop["files"] for drop in found["drops"]} == {"no notebook": 1}


@pytest.mark.slow
def test_a_measure_from_outside_is_planned_stored_and_reported(
    installed: Installed, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    path, out = tiny(strategies=["single"], measure={"perplexity": None, "confidence": {}}), tmp_path / "out"
    assert "to ask" in raysim_anew_with(installed, "plan", path)
    raysim_anew_with(installed, "run", path, "--out", out)
    found = pq.read_table(out / "results" / "confidence.parquet").to_pylist()
    assert len(found) == 4 * 3, "the initial model and one of each organization, on three validation splits"
    assert all(0 < row["sure"] <= 1 and 0 <= row["right"] <= 1 for row in found)
    assert 'id="confidence"' in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_mitigation_from_outside_is_planned_and_compared(
    installed: Installed, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    path = tiny(strategies=["centralized"], mitigations=["shorter_context"])
    planned = json.loads(raysim_with(installed, "plan", path, "--json"))
    assert [point["point"] for point in planned["points"]] == ["none", "shorter_context"]
    raysim_with(installed, "mitigate", path, "--out", tmp_path / "out")
    front = read_table(tmp_path / "out", "front").to_pylist()
    assert [(row["mitigation"], row["changed"]) for row in front] == [("none", False), ("shorter_context", True)]
    assert "shorter_context" in (tmp_path / "out" / "report.html").read_text()
    too_short = raysim_fails(installed, "plan", path, "--set", "mitigations=[shorter_context: {parts: 100}]")
    assert "mitigations[0]: shorter_context: a 100th of " in too_short


def raysim_fails(installed: Installed, *args: object) -> str:
    done = raysim(*args, timeout=600, before=FIND.format(path=installed["PYTHONPATH"]))
    assert done.returncode == 2, done.stdout
    return done.stderr
