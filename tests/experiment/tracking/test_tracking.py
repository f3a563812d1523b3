"""Curves on their way to trackers: which points they have, and that no run depends on who takes them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.experiment.tracking import tracking
from raysim.experiment.tracking.tracker import Point, TrackedRun, trackers
from raysim.experiment.tracking.tracking import Tracking
from raysim.store.model_scores import ModelScores

SCORES = ModelScores(
    "m", "fedavg, round 2", "fedavg", 1, "round", 2, "acme", {"exclusive_lines": 0.5, "x": float("nan")}
)


class Kept:
    """Keeps the points, where nothing is to go wrong."""

    points: list[Point]
    closed: int
    breaks_at = ""

    def __init__(self, run: TrackedRun) -> None:
        type(self).points, type(self).closed = [], 0
        self._break("making")

    @classmethod
    def check(cls, run: TrackedRun) -> None: ...

    def _break(self, where: str) -> None:
        if self.breaks_at == where:
            raise OSError(f"{where} fails")

    def log(self, points: Sequence[Point]) -> None:
        self._break("logging")
        self.points.extend(points)

    def close(self) -> None:
        self._break("closing")
        type(self).closed += 1


def run_of(folder: Path, on_ray: bool = False) -> TrackedRun:
    return TrackedRun("debug", folder, {"trainer": {"epochs": 2, "lora": None}, "seed": [1]}, on_ray)


def test_losses_and_scores_are_points_of_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_LOSS_EVERY_S", 0.0)
    notes: list[str] = []
    with Tracking({"kept": Kept}, run_of(tmp_path), notes.append) as observer:
        observer.started("k", "train", "single acme, stage 1: acme", 100)
        observer.progressed("k", 50, "loss 2.50", 2.5)
        observer.progressed("k", 60, "")
        observer.progressed("k", 70, "", float("inf"))
        observer.measured(SCORES)
        observer.measured(ModelScores("u", "", "fedavg", 2, "upload", 1, "acme", {"covered_lines": 3.0}))
    assert (notes, Kept.closed) == ([], 1)
    assert Kept.points == [
        Point("training_loss/single acme, stage 1: acme", 50, 2.5),
        Point("exclusive_lines/acme/fedavg, seed 1", 2, 0.5),
        Point("covered_lines/acme/fedavg, seed 2, uploads", 1, 3.0),
    ]


def test_a_stage_has_a_point_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_LOSS_EVERY_S", 1000.0)
    with Tracking({"kept": Kept}, run_of(tmp_path), print) as observer:
        for tokens in range(50):
            observer.progressed("k", tokens, "", 1.0)
    assert Kept.points == [Point("training_loss/k", 0, 1.0)]


@pytest.mark.parametrize("where", ["making", "logging", "closing"])
def test_a_tracker_that_fails_is_a_note_and_the_others_go_on(tmp_path: Path, where: str) -> None:
    class Broken(Kept):
        breaks_at = where

    notes: list[str] = []
    with Tracking({"broken": Broken, "kept": Kept}, run_of(tmp_path), notes.append) as observer:
        observer.measured(SCORES)
    assert notes == [f"execution.track: broken takes nothing more: {where} fails; the run goes on"]
    assert ([point.step for point in Kept.points], Kept.closed) == ([2], 1)


def test_settings_are_paths_and_values(tmp_path: Path) -> None:
    assert list(run_of(tmp_path).flat_settings()) == [
        ("trainer.epochs", "2"),
        ("trainer.lora", "None"),
        ("seed", "[1]"),
    ]


def test_what_a_tracker_lacks_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path)
    with pytest.raises(InputError, match=r"execution\.track: unknown tracker 'neptune'; known: mlflow, prometheus,"):
        trackers(["neptune"], run)
    with pytest.raises(InputError, match=r"prometheus is Ray's, and execution\.backend: inline has none"):
        trackers(["prometheus"], run)
    assert list(trackers(["prometheus"], run_of(tmp_path, on_ray=True))) == ["prometheus"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("tensorboard", "mlflow", "wandb"):
        with pytest.raises(InputError, match=rf"not installed; pip install 'raysim\[{name}\]'"):
            trackers([name], run)
