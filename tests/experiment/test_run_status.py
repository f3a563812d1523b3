"""What the lines of a progress log show."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.core.run_folder import RunFolder
from raysim.experiment.run_status import StatusReader, status_of


def work(share: float, *losses: float, done: int = 1, left_s: float | None = 90.0) -> dict[str, Any]:
    under_way = [{"kind": "train", "label": f"stage {n}", "share": 0.5, "loss": loss} for n, loss in enumerate(losses)]
    counts = {"single": {"stages": done, "rounds": 0}}
    return {"event": "work", "share": share, "left_s": left_s, "done": counts, "under_way": under_way, "more": 2}


def scores(model: str, lines: float, organization: str = "a") -> dict[str, Any]:
    about = {"model": model, "name": f"single {model}", "run": "single", "seed": 1, "moment": "stage", "index": 1}
    return {"event": "measured", **about, "organization": organization, "values": {"exclusive_lines": lines}}


PLANNED = {"event": "planned", "settings": {"single": {"stages": 3, "rounds": 0}, "fedavg": {"stages": 6, "rounds": 2}}}
RUNNING = [
    *({"event": "began"}, {"event": "phase", "name": "Training"}, work(0.9, 5.0), scores("m", 0.25)),
    *({"event": "note", "text": "of old"}, {"event": "began"}, {"event": "phase", "name": "Preparing the corpora"}),
    *(PLANNED, {"event": "phase", "name": "Training"}, work(0.1, 3.0), work(0.2, 2.0, 4.0), scores("m", 0.5)),
    *(scores("m", 0.0, "b"), {"event": "note", "text": "mind it"}),
]


def test_what_goes_on_is_of_the_last_time_that_it_began() -> None:
    status = status_of(RUNNING, "debug")
    assert (status.name, status.phase, status.point, status.share, status.left_s) == (
        "debug",
        "Training",
        "",
        0.2,
        90.0,
    )
    assert status.settings == {"single": {"stages": (1, 3)}, "fedavg": {"stages": (0, 6), "rounds": (0, 2)}}
    assert [one["label"] for one in status.under_way] == ["stage 0", "stage 1"]
    assert status.more == 2
    assert status.losses == {"stage 0": [3.0, 2.0], "stage 1": [4.0]}
    assert [(row["model"], row["organization"], row["values"]["exclusive_lines"]) for row in status.scores] == [
        ("m", "a", 0.5),
        ("m", "b", 0.0),
    ]
    assert (status.notes, status.ended) == (["mind it"], "")


def test_a_run_that_has_only_begun_has_a_status() -> None:
    status = status_of(RUNNING[:6], "debug")
    assert (status.phase, status.share, status.settings, status.under_way) == ("Starting", 0.0, {}, ())


@pytest.mark.parametrize(("how", "share"), [("finished", 1.0), ("failed", 0.2)])
def test_nothing_is_under_way_when_it_has_ended(how: str, share: float) -> None:
    status = status_of([*RUNNING, {"event": "ended", "how": how, "why": "because"}], "debug")
    assert (status.ended, status.why, status.share, status.under_way, status.more) == (how, "because", share, (), 0)


def test_a_sweep_says_at_which_point_it_is() -> None:
    point = {"event": "point", "name": "eta=0.1", "number": 2, "total": 4}
    assert status_of([*RUNNING, point], "debug").point == "point 2 of 4: eta=0.1"


def test_the_folder_says_what_it_is_and_since_when_it_is_silent(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(row) + "\n" for row in RUNNING) + '{"event": "wo')
    first = StatusReader(tmp_path).read()
    assert first.name == tmp_path.name
    RunFolder(tmp_path).write_manifest(name="debug", finished=None)
    then_s = time.time() - 500
    os.utime(tmp_path / "progress.jsonl", (then_s, then_s))
    second = StatusReader(tmp_path).read()
    assert second.name == "debug"
    assert 499 < second.silent_s < 600 > first.silent_s
    assert second.sign != first.sign


def test_a_folder_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run folder"):
        StatusReader(tmp_path).read()
    RunFolder(tmp_path).write_manifest(name="debug", finished=None)
    with pytest.raises(InputError, match=r"has no progress\.jsonl"):
        StatusReader(tmp_path).read()
    RunFolder(tmp_path).write_manifest(name="debug", finished="2026-01-01")
    status = StatusReader(tmp_path).read()
    assert (status.name, status.ended, status.share) == ("debug", "finished", 1.0)
