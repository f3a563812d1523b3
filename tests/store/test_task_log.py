import json
from pathlib import Path

import pytest

from raysim.store.task_log import TaskLog, TaskRecord, read_log


def record(key: str, **changes) -> TaskRecord:
    return TaskRecord(**{"key": key, "kind": "train", "setting": "s", "label": "l", "status": "computed", **changes})


def test_a_line_a_record(tmp_path: Path) -> None:
    log = TaskLog(tmp_path / "stages.jsonl")
    log.append(record("one", seconds=2.00049, tokens=300), "session")
    log.append(record("two", status="cached", label="ü > \u2028"), "session")
    assert len((tmp_path / "stages.jsonl").read_bytes().splitlines()) == 2
    one, two = read_log(tmp_path / "stages.jsonl")
    assert (one["key"], one["seconds"], one["tokens_per_s"], one["session"]) == ("one", 2.0, 150.0, "session")
    assert (two["status"], two["label"], two["seconds"]) == ("cached", "ü > \u2028", 0.0)
    assert "tokens_per_s" not in two


def test_no_file_is_no_rows(tmp_path: Path) -> None:
    assert read_log(tmp_path / "stages.jsonl") == []


@pytest.mark.parametrize("kept", [1, 30, -2])
def test_a_torn_last_line_is_ignored_and_stays_behind(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "stages.jsonl"
    TaskLog(path).append(record("one"), "first")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    assert [row["key"] for row in read_log(path)] == ["one"]
    TaskLog(path).append(record("two"), "second")
    assert [(row["key"], row["session"]) for row in read_log(path)] == [("one", "first"), ("two", "second")]


def test_a_line_that_lost_only_its_end_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "stages.jsonl"
    TaskLog(path).append(record("one"), "first")
    path.write_bytes(path.read_bytes()[:-1])
    TaskLog(path).append(record("two"), "second")
    assert [row["key"] for row in read_log(path)] == ["one", "two"]


def test_opening_a_whole_log_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "stages.jsonl"
    TaskLog(path).append(record("one"), "first")
    before = path.read_bytes()
    TaskLog(path)
    assert path.read_bytes() == before
    assert json.loads(before)["attempts"] == 1
