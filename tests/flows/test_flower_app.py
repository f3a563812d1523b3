"""A client app of Flower's in a whole run: killed and resumed to the same tables, under a strategy of Flower's too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from drive import hashes, raysim, started

from raysim.store.task_log import read_log
from raysim.tables.io import read_table

ROOT = Path(__file__).parents[2]
FOLDERS = [str(ROOT / "docs" / "examples" / "client_app"), str(ROOT / "tests" / "support")]
ON_PATH = f"import sys; sys.path[:0] = {FOLDERS!r}"
TRAINER = {"epochs": 3, "sequence_length": 64, "batch_size": 8, "learning_rate": 0.1, "backend": "flower"}
EXAMPLE = {**TRAINER, "app": "raysim_client_app:app", "app_config": {"momentum": 0.8}, "client_state": "keep"}
MOMENTUM = {"strategy": "flwr.serverapp.strategy.FedAvgM", "arguments": {"server_momentum": 0.5}, "rounds": 3}


def aggregates(out: Path) -> int:
    log = read_log(out / "stages.jsonl") if (out / "stages.jsonl").exists() else []
    return sum(row["kind"] == "aggregate" and row["status"] == "computed" for row in log)


def nats_by_round(out: Path) -> list[float]:
    """Nats of all validation files, after each round."""
    losses = read_table(out, "losses")
    rows = [row for row in read_table(out, "models").to_pylist() if row["strategy"] == "flower"]
    keys = [row["model"] for row in sorted(rows, key=lambda row: row["index"])]
    return [sum(losses.filter(pc.equal(losses["model"], key))["nats"].to_pylist()) for key in keys]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_an_app_is_killed_between_its_rounds_and_ends_alike(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """Its rate halves from round to round by what it keeps in `context.state`, which a resumed run must find again."""
    path = tiny(trainer=EXAMPLE, strategies=["centralized", {"flower": MOMENTUM}], measure={"perplexity": {}})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = raysim("run", path, "--out", whole, before=ON_PATH)
    assert done.returncode == 0, done.stderr
    nats = nats_by_round(whole)
    assert len(nats) == 4
    assert nats[3] < nats[1] < nats[0]

    with started("run", path, "--out", cut, before=ON_PATH) as driver:
        driver.until(lambda: aggregates(cut))
        driver.kill()
    assert aggregates(cut) < 3
    done = raysim("run", path, "--out", cut, before=ON_PATH)
    assert done.returncode == 0, done.stderr
    assert hashes(cut) == hashes(whole)


@pytest.mark.stress
def test_an_app_trains_alike_in_actors_of_ray(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(FOLDERS))
    path = tiny(trainer=EXAMPLE, strategies=[{"flower": MOMENTUM}], measure={"perplexity": {}})
    for backend in ("inline", "ray"):
        settings = ("--set", f"execution.backend={backend}")
        done = raysim("run", path, "--out", tmp_path / backend, *settings, before=ON_PATH)
        assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "inline")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("app", "code", "problem"),
    [
        (
            {"app": "flower_apps:idle"},
            2,
            "trainer: app: 'flower_apps:idle' registers no train function; write @app",
        ),
        (
            {"app": "flower_apps:app", "app_config": {"how": "raises"}},
            3,
            "single alpha, stage 1: alpha: app flower_apps:app: ZeroDivisionError: by zero; mend the app",
        ),
    ],
    ids=["no app", "an error"],
)
def test_a_wrong_app_ends_the_run_with_one_line(
    app: dict[str, Any], code: int, problem: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    path = tiny(trainer={**TRAINER, **app}, strategies=["single"], measure={"perplexity": {}})
    done = raysim("run", path, "--out", tmp_path / "out", before=ON_PATH)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert problem in done.stderr
