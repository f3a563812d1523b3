"""Word that a node goes reaches the stage that trains, which never waits for it."""

import threading
import time

import pytest

from raysim.training import departure
from raysim.training.departure import Departure


def test_without_anybody_to_ask_no_node_goes() -> None:
    word = Departure()
    with word.watched():
        assert not word.is_near()
    assert "raysim-departure" not in {thread.name for thread in threading.enumerate()}


def test_it_asks_until_the_answer_is_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departure, "_LOOK_EVERY_S", 0.01)
    answers = iter([False, False, True])
    word = Departure()
    word.ask_by(lambda: next(answers))
    with word.watched():
        until(word.is_near)
    assert next(answers, None) is None
    answers = iter([False] * 1000)  # the next stage asks anew
    with word.watched():
        assert not word.is_near()
    until(lambda: "raysim-departure" not in {thread.name for thread in threading.enumerate()})


def test_an_answer_that_does_not_come_keeps_nobody() -> None:
    word, answered = Departure(), threading.Event()
    word.ask_by(answered.wait)
    began_s = time.monotonic()
    with word.watched():
        pass
    assert time.monotonic() - began_s < 1
    answered.set()  # it comes when the stage is over, and says nothing of the next
    until(lambda: "raysim-departure" not in {thread.name for thread in threading.enumerate()})
    assert not word.is_near()


def until(condition) -> None:
    deadline_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
