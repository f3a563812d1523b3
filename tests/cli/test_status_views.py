"""How a run is shown to whoever watches it."""

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from raysim.cli.status_views import how_far, lines_of, sparkline, status_view, work_line
from raysim.experiment.run_status import RunStatus


def scores(model: int, lines: float, organization: str = "acme", **values: float) -> dict[str, Any]:
    about = {"name": f"fedavg, round {model}", "run": "fedavg", "seed": 1, "organization": organization}
    return {**about, "model": str(model), "values": {"exclusive_lines": lines, **values}}


STATUS = RunStatus(
    name="debug",
    phase="Training",
    point="point 1 of 2: eta=0.1",
    share=0.25,
    left_s=150.0,
    settings={"single": {"stages": (1, 3)}, "fedavg": {"stages": (2, 6), "rounds": (0, 2)}},
    under_way=[
        {"kind": "train", "label": "fedavg, round 1: acme", "share": 0.5, "loss": 2.345},
        {"kind": "generate", "label": "single, prompts of b", "share": 0.0, "loss": None},
    ],
    more=3,
    losses={"fedavg, round 1: acme": [4.0, 3.0, 2.345]},
    scores=[scores(1, 0.5), scores(1, 0.75, "beta"), scores(2, 1.5, covered_lines=2.0)],
    notes=["one", "two", "three", "four"],
)


def shown(status: RunStatus) -> str:
    text = io.StringIO()
    Console(file=text, width=100).print(status_view(status))
    return text.getvalue()


def test_a_view_has_all_that_goes_on() -> None:
    lines = [line.rstrip() for line in shown(STATUS).splitlines()]
    assert lines[0] == "debug: point 1 of 2: eta=0.1, training"
    assert lines[1].endswith("25 % of the run, 3 of 9 stages, 0 of 2 rounds, about 2 min 30 s left")
    table = [line.split() for line in lines]
    assert ["single", "1", "/", "3"] in table
    assert ["fedavg", "2", "/", "6", "0", "/", "2"] in table
    assert "  train fedavg, round 1: acme: 50 %, loss 2.35  █▄▁" in lines
    assert "  generate single, prompts of b: 0 %" in lines
    assert "  and 3 more" in lines
    leaked = [line.split() for line in lines if line.startswith("fedavg, round")]
    assert leaked == [  # the last model of each, those that leak most first
        ["fedavg,", "round", "2", "acme", "1.5", "2", "▁█"],
        ["fedavg,", "round", "1", "beta", "0.75", "▁"],
    ]
    assert [line for line in lines if line.startswith("note: ")] == ["note: two", "note: three", "note: four"]


def test_a_run_that_has_only_begun_can_be_shown() -> None:
    assert shown(RunStatus("debug", "Starting")).split("\n")[0] == "debug: starting"


def test_lines_that_are_worth_being_shown_once() -> None:
    assert list(lines_of(replace(STATUS, notes=["one"]))) == [
        "debug: point 1 of 2: eta=0.1, training",
        "measured fedavg, round 1, acme: exclusive lines 0.5",
        "measured fedavg, round 1, beta: exclusive lines 0.75",
        "measured fedavg, round 2, acme: exclusive lines 1.5, covered lines 2",
        "note: one",
    ]


def test_how_far_a_run_is_that_has_ended() -> None:
    assert how_far(RunStatus("debug", share=1.0, ended="finished")) == "100 % of the run, finished"
    assert how_far(replace(STATUS, left_s=None, settings={})) == "25 % of the run, time left not known yet"


def test_what_has_no_loss_says_none() -> None:
    assert [work_line(one) for one in STATUS.under_way] == [
        "train fedavg, round 1: acme: 50 %, loss 2.35",
        "generate single, prompts of b: 0 %",
    ]


def test_a_curve_has_its_last_value_and_fits_a_line() -> None:
    assert sparkline([]) == ""
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([0.0, 7.0, 3.0]) == "▁█▄"
    long = sparkline([*map(float, range(1000)), -1.0])
    assert (len(long), long[-1]) == (24, "▁")
