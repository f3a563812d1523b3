"""A run that is watched: its folder, trackers and an alarm tell of it, and what it computes is the same."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.compute as pc
import pytest
from drive import hashes, raysim
from splits import splitting_seed

from raysim.core.json_lines import read_json_lines
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

LINES = {"exclusive_lines", "covered_lines", "shared_lines"}


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Keeps in ``received`` what is posted to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    found = HTTPServer(("127.0.0.1", 0), Handler)
    found.received = []  # type: ignore[attr-defined]
    Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def reciting(tiny: Callable[..., Path], tmp_path: Path) -> Path:
    """An experiment whose models soon write lines of their organizations, which consist of a few of them."""
    folders = {name: tmp_path / name for name in ("alpha", "beta")}
    for name, folder in folders.items():
        folder.mkdir()
        for n in range(6):
            (folder / f"{n}.py").write_text(f"# {n}\n" + f"{name} = {name}\n" * 150)
    memorization = {"prompts": {"prefix": 2}, "prefix_tokens": 16, "samples": 2, "new_tokens": 24, "min_lines": 2}
    return tiny(
        "reciting",
        organizations={
            name: {"source": {"path": str(folder)}, "agreement": {"share": "data"}} for name, folder in folders.items()
        },
        split_seed=splitting_seed(folders),
        strategies=["single", {"fedavg": {"rounds": 2}}],
        trainer={"epochs": 4, "sequence_length": 64, "batch_size": 4, "learning_rate": 1e-2},
        measure={"perplexity": {}, "memorization": {**memorization, "when": ["every_stage", "every_round"]}},
    )


def trained(out: Path) -> list[str]:
    rows = read_log(out / "stages.jsonl")
    return [row["key"] for row in rows if (row["kind"], row["status"]) == ("train", "computed")]


def test_an_alarm_stops_a_run_which_goes_on_and_is_as_if_nobody_had_watched(
    reciting: Path, tmp_path: Path, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # to read what the run has written
    out, plain = tmp_path / "out", tmp_path / "plain"
    webhook = f"alert.webhook=http://127.0.0.1:{server.server_port}/?token=hidden-word"
    watched = ("run", reciting, "--out", out, "--set", "execution.track=[tensorboard, mlflow]")

    stopped = raysim(*watched, "--set", "alert={covered_lines: 0, stop: true}", "--set", webhook)
    assert stopped.returncode == 3, stopped.stdout + stopped.stderr
    (line,) = stopped.stderr.splitlines()
    assert "of alert.covered_lines; the run stops (alert.stop)" in line
    (told,) = server.received  # type: ignore[attr-defined]
    assert (told["score"], told["threshold"], told["value"] > 0) == ("covered_lines", 0, True)
    assert not [file for file in out.rglob("*") if file.is_file() and b"hidden-word" in file.read_bytes()]
    before = trained(out)
    assert 0 < len(before) < 6  # two alone, and two in each of two rounds

    seen = raysim("watch", out)
    assert (seen.returncode, seen.stderr.splitlines()[0].startswith("error: ")) == (3, True)
    assert "the run failed: alert: " in seen.stderr

    ended = raysim(*watched, "--set", "alert={covered_lines: 1e6}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert trained(out)[: len(before)] == before
    assert len(trained(out)) == len(set(trained(out)))  # nothing twice

    done = raysim("watch", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "100 % of the run, 6 of 6 stages, 2 of 2 rounds, finished"

    alone = raysim("run", reciting, "--out", plain)
    assert alone.returncode == 0, alone.stderr
    assert hashes(out) == hashes(plain)
    _has_the_scores_of_the_tables(out)
    _has_the_scores_of_the_tables(plain)
    _trackers_have_the_scores(out)


def _scores(out: Path) -> dict[tuple[str, str], dict[str, float]]:
    """By model and organization, as the log of a run has them."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in read_json_lines(out / "progress.jsonl"):
        if row["event"] == "measured":
            found.setdefault((row["model"], row["organization"]), {}).update(row["values"])
    return found


def _has_the_scores_of_the_tables(out: Path) -> None:
    scores, prompts, samples = _scores(out), read_table(out, "prompts"), read_table(out, "samples")
    losses = read_table(out, "losses").filter(pc.field("split") == "valid")
    models = set(samples["model"].to_pylist())
    assert scores.keys() == {(model, name) for model in models for name in ("alpha", "beta")}
    for (model, name), values in scores.items():
        own = prompts.filter(pc.field("organization") == name)["prompt"]
        rows = samples.filter((pc.field("model") == model) & (pc.field("owner") == name) & pc.field("prompt").isin(own))
        lines = {score: sum(rows[score.removesuffix("_lines")].to_pylist()) / len(own) for score in LINES}
        files = losses.filter((pc.field("model") == model) & (pc.field("organization") == name))
        nats = sum(files["nats"].to_pylist()) / sum(files["tokens"].to_pylist())
        assert values == pytest.approx(lines | {"log_perplexity": nats}, abs=1e-4)
    assert max(values["covered_lines"] for values in scores.values()) > 0


def _trackers_have_the_scores(out: Path) -> None:
    """The last model of each curve, in both."""
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    models = {row["model"]: row for row in read_table(out, "models").to_pylist() if row["strategy"] == "fedavg"}
    (last,) = [key for key, row in models.items() if row["final"]]
    expected = {name: _scores(out)[last, name] for name in ("alpha", "beta")}
    curves = {f"{score}/{name}/fedavg, seed 1": expected[name][score] for name in expected for score in expected[name]}

    found = EventAccumulator(str(out / "tensorboard")).Reload()
    assert {curve: found.Scalars(curve)[-1].value for curve in curves} == pytest.approx(curves, abs=1e-4)
    assert any(tag.startswith("training_loss/") for tag in found.Tags()["scalars"])

    client = MlflowClient((out / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("reciting")
    assert experiment is not None
    newest = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])[0]
    assert {c: newest.data.metrics[c.replace(",", "_")] for c in curves} == pytest.approx(curves, abs=1e-4)


def test_a_tracker_that_is_not_there_ends_a_run_before_anything_starts(reciting: Path, tmp_path: Path) -> None:
    ended = raysim("run", reciting, "--out", tmp_path / "out", "--set", "execution.track=[prometheus]")
    assert (ended.returncode, (tmp_path / "out").exists()) == (2, False)
    assert "execution.track: prometheus" in ended.stderr
