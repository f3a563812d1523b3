"""Organizations that are late or gone, in whole runs: killed and resumed to equal tables, told in plan and report."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim
from raysim.strategies.availability import Availability, AvailabilitySettings
from store_runs import computed, killed_after, run

from raysim.tables.io import read_table

GONE: dict[str, Any] = {"dropout": 0.4, "round_spread": 0.5, "organization_spread": 0.5, "deadline_s": 60}
ROUNDS = {"rounds": 3, "local_epochs": 1}
STRATEGIES: list[dict[str, Any]] = [
    {"fedavg": {**ROUNDS, "availability": GONE}},
    {"fedyogi": {**ROUNDS, "availability": GONE}},
    {"fedavg": {**ROUNDS, "label": "patient", "availability": {**GONE, "policy": "wait"}}},
]
MEASURE = {"perplexity": {"when": {"every_rounds": 2}, "training_sequences": 4}}


@pytest.fixture(scope="module")
def finished(
    tiny_writer: Callable[[Path], Callable[..., Path]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """An experiment of which organizations miss rounds, and its finished run."""
    folder = tmp_path_factory.mktemp("availability")
    path = tiny_writer(folder)(strategies=STRATEGIES, measure=MEASURE)
    run(path, folder / "out")
    return path, folder / "out"


def test_the_table_says_who_trained(finished: tuple[Path, Path]) -> None:
    _, out = finished
    rows = read_table(out, "participation").to_pylist()
    assert len(rows) == 3 * 3 * 3
    norms = read_table(out, "update_norms").to_pylist()
    places = ([(row["strategy"], row["round"], row["organization"]) for row in part] for part in (norms, rows))
    trained, members = map(list, places)
    assert trained == [place for place, row in zip(members, rows, strict=True) if row["took_part"]]
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row["strategy"], []).append(row["reason"])
    assert reasons["fedavg"] == reasons["fedyogi"]
    assert {"dropped out", ""} <= set(reasons["fedavg"])
    assert {row["took_part"] for row in rows if row["strategy"] == "patient"} == {True}
    # Where nobody is missing the stages are those of the others.
    assert computed(out)["train"] < sum(row["took_part"] for row in rows)


def test_models_are_measured_every_two_rounds_and_in_the_end(finished: tuple[Path, Path]) -> None:
    _, out = finished
    scored = set(read_table(out, "losses").column("model").to_pylist())
    models = [row for row in read_table(out, "models").to_pylist() if row["model"] in scored]
    assert {(row["strategy"], row["index"]) for row in models} == {
        (label, index) for label in ("fedavg", "fedyogi", "patient") for index in (0, 2, 3)
    }


def test_plan_and_report_say_who_takes_part(finished: tuple[Path, Path], tmp_path: Path) -> None:
    path, out = finished
    rows = [row for row in read_table(out, "participation").to_pylist() if row["strategy"] == "fedyogi"]
    there, gone = sum(row["took_part"] for row in rows), sum(row["reason"] == "dropped out" for row in rows)
    planned = raysim("plan", path, "--out", tmp_path / "none")
    text = " ".join(planned.stdout.split())
    told = f"Participation (fedyogi): {there} of 9 times that an organization is asked to train ({gone} drop out,"
    assert told in text
    report = (out / "report.html").read_text("utf-8")
    assert "Who took part" in report
    assert f"{there} ({there / 9:.0%})" in report


def test_killed_and_resumed_once_gives_equal_tables(finished: tuple[Path, Path], tmp_path: Path) -> None:
    path, undisturbed = finished
    out = tmp_path / "killed"
    killed = raysim("run", path, "--out", out, before=killed_after(out, 4, "aggregate"))
    assert killed.returncode == -signal.SIGKILL
    run(path, out)
    assert hashes(out) == hashes(undisturbed)


def test_a_run_that_must_stop_says_so_before_and_ends_in_that_round(tiny: Callable[..., Path], tmp_path: Path) -> None:
    settings, names = {"dropout": 0.15, "policy": "stop"}, ("alpha", "beta", "gamma")

    def ends(seed: int, number: int) -> str:
        model = Availability(AvailabilitySettings.model_validate(settings), seed, dict.fromkeys(names, 1))
        return model.round(number, names).ends

    seed = next(seed for seed in range(1, 100) if ends(seed, 1) and not ends(seed, 0))
    path = tiny(strategies=[{"fedavg": {**ROUNDS, "availability": settings}}], measure={}, seed=[seed])
    out, why = tmp_path / "out", ends(seed, 1)
    assert why.startswith("round 2: ")
    planned = " ".join(raysim("plan", path, "--out", out).stdout.split())
    assert f"Warning: fedavg, seed {seed}: the run will end in {why}." in planned
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 3
    assert ended.stderr == f"error: fedavg: {why}; what was trained is kept, and the same command ends here again\n"
    assert (computed(out)["train"], computed(out)["aggregate"]) == (3, 1)
