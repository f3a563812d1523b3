"""What `raysim plan` says of time before and after a run, and what programs get of both."""

import json
from collections.abc import Callable
from pathlib import Path

from drive import raysim

from raysim.experiment.estimate.timings import Timing


def test_a_run_makes_the_next_plan_right(tiny: Callable[..., Path], tmp_path: Path) -> None:
    before = f"import os; os.environ['XDG_STATE_HOME'] = {str(tmp_path / 'state')!r}"
    path, out = tiny(strategies=["single"], trainer={"epochs": 3, "sequence_length": 64}), tmp_path / "out"
    first = json.loads(raysim("plan", path, "--json", before=before).stdout)
    assert first["runs_in_log"] == 0
    assert not (tmp_path / "state").exists()

    ended = raysim("run", path, "--out", out, "--json", before=before)
    assert ended.returncode == 0, ended.stderr
    ran = json.loads(ended.stdout)
    assert "Training" in ended.stderr
    assert (ran["folder"], ran["report"]) == (str(out), str(out / "report.html"))
    assert [row["setting"] for row in ran["settings"]] == ["single: alpha", "single: beta", "single: gamma"]
    assert all(row["bits_per_byte"] > 0 for row in ran["settings"])
    assert ran["counts"]["train computed"] == 3
    assert {row["finding"] for row in ran["findings"]} == {f"F{number}" for number in range(1, 8)}

    (line,) = (tmp_path / "state" / "raysim" / "timings.jsonl").read_text().splitlines()
    timing = Timing.model_validate_json(line)
    assert timing.workload.pieces["train"] == 3
    assert timing.kinds["train"] > 0
    again = json.loads(raysim("plan", path, "--json", before=before).stdout)
    assert again["runs_in_log"] == 1
    for name, seconds in timing.phases.items():
        assert seconds / 1.5 - 0.1 <= again["seconds"][name] <= seconds * 1.5 + 0.1
    assert ran["seconds"] / 1.5 <= 3600 * again["hours"] <= ran["seconds"] * 1.5 + 1

    # What is there takes no time, and says nothing of what work takes.
    done = json.loads(raysim("run", path, "--out", out, "--json", before=before).stdout)
    assert set(done["counts"]) == {name.replace("computed", "cached") for name in ran["counts"]}
    assert len((tmp_path / "state" / "raysim" / "timings.jsonl").read_text().splitlines()) == 1
    assert json.loads(raysim("plan", path, "--out", out, "--json", before=before).stdout)["seconds"]["work"] == 0
