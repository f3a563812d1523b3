"""What a run says of itself, line by line, and that it never becomes long."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from raysim.core.errors import RunError
from raysim.core.json_lines import read_json_lines
from raysim.experiment import progress_log
from raysim.experiment.progress_log import ProgressLog, thinned
from raysim.store.model_scores import ModelScores
from raysim.store.task_log import TaskRecord

PLANNED = {"single": {"stages": 2, "rounds": 0}}
SCORES = ModelScores(
    "m", "single a, stage 1", "single a", 1, "stage", 1, "a", {"exclusive_lines": 0.51239, "x": float("nan")}
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(progress_log, "_WORK_EVERY_S", 0.0)
    return tmp_path / "progress.jsonl"


def events(path: Path) -> list[dict[str, Any]]:
    rows = read_json_lines(path)
    assert all(row.pop("at") > 1.7e9 for row in rows)
    return rows


def test_each_event_is_a_line(path: Path) -> None:
    with ProgressLog(path) as log:
        log.phase("Training")
        log.expect({"train": 200}, PLANNED)
        log.started("k", "train", "single a, stage 1: a", 100)
        log.progressed("k", 50, "epoch 1/2, loss 2.12", 2.123456)
        log.progressed("k", 60, "epoch 1/2, loss nan", float("nan"))
        log.ended(TaskRecord("k", "train", "single", "single a, stage 1: a", "computed", 1.0, 100))
        log.ended(TaskRecord("i", "initial", "", "initial weights", "cached"))
        log.measured(SCORES)
        log.note("so it is")
    rows = events(path)
    work = [row for row in rows if row["event"] == "work"]
    assert [row["event"] for row in rows] == [
        *("began", "phase", "planned", "work", "work", "work", "work", "work", "measured", "note", "work", "ended")
    ]
    under_way = {"kind": "train", "label": "single a, stage 1: a"}
    assert [row["under_way"] for row in work[:4]] == [
        [under_way | {"share": 0.0, "loss": None}],
        [under_way | {"share": 0.5, "loss": 2.1235}],
        [under_way | {"share": 0.6, "loss": None}],
        [],
    ]
    assert [row["share"] for row in work[:4]] == [0.0, 0.25, 0.3, 0.5]
    assert work[-1]["done"] == {"single": {"stages": 1, "rounds": 0}}
    assert rows[2]["settings"] == PLANNED
    assert rows[8]["values"] == {"exclusive_lines": 0.5124}
    assert (rows[8]["model"], rows[8]["run"], rows[8]["organization"]) == ("m", "single a", "a")
    assert (rows[-1]["how"], rows[-1]["why"]) == ("finished", "")


@pytest.mark.parametrize(
    ("error", "how", "why"),
    [
        (RunError("the disk is full"), "failed", "the disk is full"),
        (KeyboardInterrupt(), "stopped", "it was interrupted"),
    ],
)
def test_how_it_ended_is_the_last_line(path: Path, error: BaseException, how: str, why: str) -> None:
    path.write_text('{"event": "note", "text": "of a run that was killed"}\n{"event": "wo')
    with pytest.raises(type(error)), ProgressLog(path):
        raise error
    rows = read_json_lines(path)
    assert [row["event"] for row in rows] == ["note", "began", "ended"]
    assert (rows[-1]["how"], rows[-1]["why"]) == (how, why)


def test_lines_come_no_faster_than_they_are_worth(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_log, "_WORK_EVERY_S", 1000.0)
    with ProgressLog(path) as log:
        log.expect({"train": 1000}, PLANNED)
        log.started("k", "train", "a", 1000)
        for tokens in range(1000):
            log.progressed("k", tokens, "", 1.0)
    assert [row["event"] for row in read_json_lines(path)] == ["began", "planned", "work", "work", "ended"]


def test_a_beat_writes_what_has_waited_and_else_touches_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_log, "_WORK_EVERY_S", 1000.0)
    log = ProgressLog(path)
    beats = iter([False, False, True])
    seen: list[tuple[int, float]] = []

    def beat(_: float) -> bool:
        seen.append((len(read_json_lines(path)), path.stat().st_mtime))
        os.utime(path, (0, 0))
        return next(beats)

    log.phase("Training")
    for tokens in (1, 2):
        log.progressed("k", tokens, "")
    monkeypatch.setattr(log._over, "wait", beat)
    log._beat()
    lines, touched = zip(*seen, strict=True)
    assert lines == (2, 3, 3)
    assert min(touched) > 1.7e9


def test_a_long_run_leaves_a_small_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_log, "MOST_BYTES", 40_000)
    with ProgressLog(path) as log:
        log.phase("Training")
        log.started("k", "train", "a", 3000)
        for tokens in range(3000):
            log.progressed("k", tokens, "", float(tokens))
            assert path.stat().st_size <= 40_000
    rows = read_json_lines(path)
    losses = [row["under_way"][0]["loss"] for row in rows if row["event"] == "work"]
    assert [row["event"] for row in rows[:2]] == ["began", "phase"]
    assert losses[1:] == sorted(losses[1:])
    assert (losses[0], losses[-1], len(losses) > 100) == (None, 2999.0, True)  # of when it started


def test_what_says_little_goes_first() -> None:
    rows = [{"event": event, "n": n} for n in range(300) for event in ("work", "measured")]
    size = sum(len(json.dumps(row)) + 1 for row in rows)
    kept = thinned(rows, size * 2 // 3)
    assert [row["n"] for row in kept if row["event"] == "measured"] == list(range(300))
    assert [row["n"] for row in kept if row["event"] == "work"] == [*range(0, 299, 4), 299]
    few = thinned(rows, 100)
    assert [sum(row["event"] == event for row in few) for event in ("work", "measured")] == [76, 76]
    assert few[-1] == {"event": "measured", "n": 299}
