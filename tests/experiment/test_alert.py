"""Thresholds, and what happens when a model is over one."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from loaded_experiments import loaded

from raysim.core.errors import InputError, RunError
from raysim.core.settings import validate
from raysim.experiment.alert import Alarm, AlertSettings
from raysim.store.model_scores import ModelScores

VALUES = {"exclusive_lines": 0.75, "covered_lines": 2.0, "shared_lines": 0.0, "log_perplexity": 9.0}
SCORES = ModelScores("m", "fedavg, round 2", "fedavg", 1, "round", 2, "acme", VALUES)


def alarms(settings: AlertSettings, *scores: ModelScores, may_stop: bool = True) -> list[str]:
    notes: list[str] = []
    with Alarm(settings, "debug", notes.append, may_stop) as alarm:
        for one in scores:
            alarm.measured(one)
    return notes


@pytest.mark.parametrize(
    ("thresholds", "over"),
    [
        ({"exclusive_lines": 0.7}, ["exclusive_lines"]),
        ({"exclusive_lines": 0.75}, []),
        ({"exclusive_lines": {"acme": 0.5, "beta": 9}}, ["exclusive_lines"]),
        ({"exclusive_lines": {"beta": 0}}, []),
        ({"exclusive_lines": 0, "covered_lines": 1, "shared_lines": 0}, ["exclusive_lines", "covered_lines"]),
        ({"exposure": 0}, []),
    ],
)
def test_thresholds_are_of_all_or_of_each(thresholds: dict[str, Any], over: list[str]) -> None:
    assert [name for name, _ in AlertSettings(**thresholds).exceeded(SCORES)] == over


def test_an_alarm_is_a_sentence_for_the_first_model_of_a_setting() -> None:
    settings = AlertSettings(exclusive_lines=0.5)
    later, elsewhere = replace(SCORES, name="fedavg, round 3"), replace(SCORES, organization="beta")
    assert alarms(settings, replace(SCORES, values={"exclusive_lines": 0.2}), SCORES, later, elsewhere) == [
        f"alert: fedavg, round 2: 0.75 exclusive lines a prompt of {name}, over the 0.5 of alert.exclusive_lines"
        for name in ("acme", "beta")
    ]


def test_a_run_stops_in_one_line_that_says_how_it_goes_on() -> None:
    settings = AlertSettings(exclusive_lines=0.5, stop=True)
    with pytest.raises(
        RunError, match=r"of alert\.exclusive_lines; the run stops .* the same command goes on"
    ) as raised:
        alarms(settings, SCORES)
    assert "\n" not in str(raised.value)
    assert len(alarms(settings, SCORES, may_stop=False)) == 1


class Received(BaseHTTPRequestHandler):
    """Keeps what is posted, and answers as the path says."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.headers["Content-Type"], json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    found = HTTPServer(("127.0.0.1", 0), Received)
    found.received = []  # type: ignore[attr-defined]
    Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def test_a_webhook_gets_the_alarm_as_json_even_before_a_stop(server: HTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/200"
    with suppress(RunError):
        alarms(AlertSettings(exclusive_lines=0.5, covered_lines=9, stop=True, webhook=url), SCORES, SCORES)
    ((kind, told),) = server.received  # type: ignore[attr-defined]
    assert kind == "application/json"
    assert told.pop("time").startswith("20")
    assert told == {
        **{"run": "debug", "score": "exclusive_lines", "value": 0.75, "threshold": 0.5, "setting": "fedavg", "seed": 1},
        **{"model": "m", "name": "fedavg, round 2", "moment": "round", "index": 2, "organization": "acme"},
    }


def test_a_webhook_that_fails_is_a_note(server: HTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/500?token=secret"
    notes = alarms(AlertSettings(exclusive_lines=0.5, webhook=url), SCORES)
    assert notes[1].startswith("alert.webhook: 127.0.0.1 did not take the alarm: ")
    server.shutdown()
    server.server_close()
    gone = alarms(AlertSettings(exclusive_lines=0.5, webhook=url), SCORES)
    assert "did not take the alarm" in gone[1]
    assert "secret" not in "".join(notes + gone)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, "has no threshold; write for example exclusive_lines"),
        ({"exclusive_lines": -1}, "exclusive_lines"),
        ({"exclusive_lines": 1, "webhook": "ftp://host"}, "webhook"),
        ({"exclusive_line": 1}, "unknown key"),
    ],
)
def test_what_is_no_alert_is_refused(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        validate(AlertSettings, raw, "alert")


MEMORIZATION = {"prompts": {"prefix": 1}}


@pytest.mark.parametrize(
    ("alert", "measure", "words"),
    [
        ({"exclusive_lines": 1}, {}, "add measure.memorization"),
        ({"exposure": 1}, {}, "there are no canaries"),
        ({"exclusive_lines": {"beta": 1}}, {"memorization": MEMORIZATION}, "'beta' is no organization"),
    ],
)
def test_what_nothing_measures_raises_no_alarm(alert: dict[str, Any], measure: dict[str, Any], words: str) -> None:
    with pytest.raises((InputError, ValueError), match=words):
        loaded(alert=alert, measure=measure)


def test_no_manifest_has_the_address_of_a_webhook() -> None:
    experiment = loaded(
        alert={"exclusive_lines": 1, "webhook": "https://host/hidden-path"}, measure={"memorization": MEMORIZATION}
    ).experiment
    assert experiment.model_dump(mode="json")["alert"]["exclusive_lines"] == 1
    assert "hidden-path" not in experiment.model_dump_json()
