"""Watching a run: it ends when the run does, and says so when nobody is there any more."""

import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from raysim.cli import watch
from raysim.cli.watch import PlainLines, follow
from raysim.core.errors import InputError, RunError
from raysim.experiment.progress_log import ProgressLog
from raysim.experiment.run_status import RunStatus


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def between_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterator[None]], None]:
    """Has a generator go on between two looks at a run, in place of a pause."""

    def set_to(steps: Iterator[None]) -> None:
        monkeypatch.setattr(watch.time, "sleep", lambda _: next(steps))

    return set_to


@pytest.mark.parametrize("terminal", [False, True])
def test_it_ends_with_the_run(
    tmp_path: Path, between_looks: Callable[[Iterator[None]], None], terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_PLAIN_EVERY_S", 0.0)
    console = Console(file=io.StringIO(), width=100, force_terminal=terminal, highlight=False)

    def run() -> Iterator[None]:
        with ProgressLog(tmp_path / "progress.jsonl") as log:
            yield
            log.phase("Training")
            log.expect({"train": 100}, {"single": {"stages": 1, "rounds": 0}})
            log.started("k", "train", "single a", 100)
            log.progressed("k", 50, "", 2.0)
            log._write_work()
            yield
            log.note("mind it")
        yield

    steps = run()
    next(steps)
    between_looks(steps)
    follow(tmp_path, console)
    found = text_of(console)
    for words in (f"{tmp_path.name}: training", "train single a: 50 %, loss 2.00", "note: mind it", "finished"):
        assert words in found, words
    if not terminal:
        assert "\x1b" not in found
        assert found.count("mind it") == 1


@pytest.mark.parametrize(
    ("error", "words"), [(RunError("the disk is full"), "failed: the disk is full"), (KeyboardInterrupt(), "stopped: ")]
)
def test_a_run_that_did_not_finish_is_an_error(
    tmp_path: Path, console: Console, error: BaseException, words: str
) -> None:
    with pytest.raises(type(error)), ProgressLog(tmp_path / "progress.jsonl"):
        raise error
    with pytest.raises(RunError, match=f"the run {words}.*; the command that began it goes on from there"):
        follow(tmp_path, console)


def age(log: Path, seconds: float) -> None:
    """Has a file be this old."""
    then_s = time.time() - seconds
    os.utime(log, (then_s, then_s))


def killed(folder: Path, ago_s: float) -> Path:
    """The log of a run that was killed in the middle."""
    log = folder / "progress.jsonl"
    log.write_text(json.dumps({"event": "began"}) + "\n" + json.dumps({"event": "phase", "name": "Training"}) + "\n")
    age(log, ago_s)
    return folder


@pytest.mark.parametrize(("ago_s", "waits_s"), [(0.0, 31), (100.0, 31), (5000.0, 0)])
def test_a_run_that_was_killed_is_waited_for_and_given_up(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch, ago_s: float, waits_s: float
) -> None:
    """As long as its next sign of life may be on its way, by whichever clock."""
    now_s, started_s = [50.0], time.time()
    monkeypatch.setattr(watch.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(time, "time", lambda: started_s + now_s[0] - 50)

    def pause(seconds: float) -> None:
        now_s[0] += seconds

    monkeypatch.setattr(watch.time, "sleep", pause)
    with pytest.raises(RunError, match=r"stopped without a word: it gives no sign of life"):
        follow(killed(tmp_path, ago_s), console)
    assert now_s[0] - 50 == pytest.approx(waits_s, abs=1)


def test_a_clock_that_is_wrong_ends_nothing(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch, between_looks: Callable[[Iterator[None]], None]
) -> None:
    """The machine that runs is ten minutes behind; its signs come all the same."""
    log = killed(tmp_path, 600) / "progress.jsonl"
    now_s = [50.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now_s[0])

    def beats() -> Iterator[None]:
        for n in range(20):
            now_s[0] += 20
            age(log, 600 - n)
            yield
        log.write_text(log.read_text() + json.dumps({"event": "ended", "how": "finished", "why": ""}) + "\n")
        yield

    between_looks(beats())
    follow(tmp_path, console)
    assert now_s[0] == 450


def test_lines_come_once_and_the_state_every_few_seconds(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now_s[0])
    lines, status = PlainLines(console), RunStatus("debug", "Training", share=0.5)
    for _ in range(20):
        lines.show(status)
        now_s[0] += 1
    assert text_of(console).splitlines() == ["debug: training", *["50 % of the run, time left not known yet"] * 2]


@pytest.mark.parametrize("named", ["s3://bucket/run", "http://host:8265/run"])
def test_an_address_is_refused(named: str) -> None:
    with pytest.raises(InputError, match="a folder can be watched, an address cannot"):
        watch.watch(named)


def test_a_folder_without_a_run_is_refused(tmp_path: Path, console: Console) -> None:
    with pytest.raises(InputError, match="no run folder"):
        follow(tmp_path, console)
