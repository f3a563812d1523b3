"""The log of what runs took: per machine, bounded, and never in the way."""

import json
from pathlib import Path
from typing import Any

import pytest
from examples import scaled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysim.experiment.estimate import timings
from raysim.experiment.estimate.timings import Timing, Workload, note_timing, read_timings, this_machine, timings_path

WORK = Workload(
    backend="inline",
    engine="torch",
    slots=1,
    parameters=1000,
    trained=1000,
    organizations=2,
    source_bytes=10,
    tokenizer_bytes=0,
    models=3,
    pieces={"train": 2},
    tokens={"train": 500},
    longest=250,
)


def timing(seconds: float = 1.0, machine: str = "") -> Timing:
    return Timing(machine=machine or this_machine(), workload=WORK, phases={"work": seconds}, kinds={"train": seconds})


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_what_was_noted_is_read_oldest_first_on_this_machine_alone(state: Path) -> None:
    assert read_timings() == []
    for noted in (timing(1), timing(2, "another"), timing(3)):
        note_timing(noted)
    assert timings_path() == state / "raysim" / "timings.jsonl"
    assert read_timings() == [timing(1), timing(3)]


def test_the_log_stays_short(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setattr(timings, "_KEPT", 3)
    for number in range(1, 9):
        note_timing(timing(number))
    assert [run.phases["work"] for run in read_timings()] == [4, 5, 6, 7, 8]
    assert [path.name for path in timings_path().parent.iterdir()] == ["timings.jsonl"]


def test_where_it_cannot_be_written_nothing_is_said(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write_text("a file")
    note_timing(timing())
    assert read_timings() == []
    monkeypatch.setenv("XDG_STATE_HOME", str(state.parent / "other"))
    timings_path().mkdir(parents=True)  # a folder in its place
    note_timing(timing())
    assert read_timings() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=scaled(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    line=st.binary(max_size=40),
    path=st.lists(st.sampled_from(["workload", "phases", "parameters", "slots"])),
    value=JSON,
)
def test_what_cannot_be_read_is_passed_over(line: bytes, path: list[str], value: Any) -> None:
    row: Any = timing().model_dump()
    node = row
    for name in path:
        if isinstance(node.get(name), dict):
            node = node[name]
    node[path[-1] if path else "machine"] = value
    timings_path().parent.mkdir(parents=True, exist_ok=True)
    timings_path().write_bytes(line + b"\n" + json.dumps(row).encode() + b"\n[1]\n" + b"[" * 5000 + b"\n")
    note_timing(timing(7))
    assert read_timings()[-1] == timing(7)
