"""Gains equal differences counted by hand, and say nothing where nothing was measured."""

import math
from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from run_tables import ORGANIZATIONS, Options, Setting, build

from raysim.analysis.gains import best_for, gains, gains_table
from raysim.analysis.results import RunResults
from raysim.tables.io import write_table
from raysim.tables.results import open_run


def results_of(folder: Path, **options: object) -> RunResults:
    return RunResults(open_run(build(folder / "run", Options(**options))))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    return results_of(tmp_path_factory.mktemp("gains"), seeds=(1, 2), files=12, prompts=10, leave_one_out=True)


def test_a_row_for_each_organization_and_setting(results: RunResults) -> None:
    settings = ["centralized", "incremental", "fedavg", "fedyogi"]
    assert [(g.organization, g.strategy) for g in gains(results)] == [(o, s) for o in ORGANIZATIONS for s in settings]
    assert gains_table(results).num_rows == 12


def test_losses_and_gains_by_hand(results: RunResults) -> None:
    models = [m for m in results.run.models.to_pylist() if m["final"]]
    losses = results.run.losses.to_pylist()

    def bits(model: str, organization: str) -> tuple[float, float]:
        mine = [row for row in losses if row["model"] == model and row["organization"] == organization]
        mine = [row for row in mine if row["split"] == "valid"]
        return sum(row["nats"] for row in mine) / log(2), sum(row["bytes"] for row in mine)

    def mean(strategy: str, organization: str, members: set[str]) -> float:
        by_seed = []
        for seed in (1, 2):
            keys = {
                m["order"]: m["model"]
                for m in models
                if m["strategy"] == strategy and m["seed"] == seed and set(m["organizations"]) == members
            }
            by_seed.append(np.mean([bits(k, organization)[0] / bits(k, organization)[1] for k in keys.values()]))
        return float(np.mean(by_seed))

    for gain in gains(results):
        alone = mean("single", gain.organization, {gain.organization})
        together = mean(gain.strategy, gain.organization, set(ORGANIZATIONS))
        assert gain.alone == pytest.approx(alone)
        assert gain.together == pytest.approx(together)
        assert gain.gain == pytest.approx(alone - together)
        assert gain.low is not None
        assert gain.high is not None
        assert gain.low < alone - together < gain.high
        assert gain.files == 12


def test_lines_given_away_by_hand(results: RunResults) -> None:
    samples = results.run.samples.to_pylist()
    prompts = {p["prompt"]: p for p in results.run.prompts.to_pylist()}
    gain = next(g for g in gains(results) if g.strategy == "centralized" and g.organization == "google")
    by_seed, leaking = [], []
    for m in results.run.models.to_pylist():
        if m["strategy"] != "centralized" or not m["final"]:
            continue
        lines: dict[str, int] = {}
        for row in samples:
            prompt = prompts[row["prompt"]]
            if row["model"] == m["model"] and prompt["organization"] == "google" and prompt["kind"] != "held_out":
                lines[row["prompt"]] = lines.get(row["prompt"], 0) + row["exclusive"] * (row["owner"] == "google")
        by_seed.append(np.mean(list(lines.values())))
        leaking.append(np.mean([count > 0 for count in lines.values()]))
    assert gain.lines == pytest.approx(np.mean(by_seed))
    assert gain.leaking == pytest.approx(np.mean(leaking))
    assert gain.leaking_high is not None
    assert gain.leaking is not None
    assert gain.leaking_high >= gain.leaking


def test_the_best_setting_and_ties(results: RunResults) -> None:
    found = gains(results)
    best = best_for(found, "meta")
    assert best is not None
    assert best.gain == max(g.gain for g in found if g.organization == "meta" and g.gain is not None)
    assert best_for([], "meta") is None


def test_settings_are_told_by_columns_and_not_by_labels(tmp_path: Path) -> None:
    """A part of the data, or a federation without somebody, is no setting that an organization could join."""
    part = Setting("all of it", "centralized", fraction=0.5)
    results = results_of(tmp_path, files=6, prompts=4, leave_one_out=True, more=(part,))
    assert {g.strategy for g in gains(results)} == {"centralized", "incremental", "fedavg", "fedyogi"}


def test_without_training_alone_there_is_no_gain(tmp_path: Path) -> None:
    results = results_of(tmp_path, files=6, prompts=4, without=("single",))
    assert {(g.alone, g.gain, g.low, g.seeds) for g in gains(results)} == {(None, None, None, 0)}
    assert all(g.together is not None for g in gains(results))


def test_without_losses_or_prompts(tmp_path: Path) -> None:
    results = results_of(tmp_path, perplexity=False, prompts=4)
    assert {(g.alone, g.together, g.gain) for g in gains(results)} == {(None, None, None)}
    without = results_of(tmp_path / "more", memorization=False, files=6)
    assert {(g.lines, g.prompts, g.leaking) for g in gains(without)} == {(None, None, None)}


def test_a_model_that_diverged_has_no_gain(tmp_path: Path) -> None:
    whole = results_of(tmp_path, files=12, prompts=4)
    (diverged,) = {m.model for m in whole.reached_models if m.family == "centralized" and m.final}
    losses = whole.run.losses
    nats = [math.nan if row["model"] == diverged else row["nats"] for row in losses.to_pylist()]
    write_table(
        tmp_path / "run", "losses", losses.set_column(losses.column_names.index("nats"), "nats", pa.array(nats))
    )
    for gain in gains(RunResults(open_run(tmp_path / "run"))):
        assert (gain.gain is None) == (gain.together is None) == (gain.low is None) == (gain.strategy == "centralized")


def test_settings_are_chosen_on_validation_and_quoted_on_test(tmp_path: Path) -> None:
    """Fedavg is made the best on validation files, and the worst on the test split."""
    better = Setting("good", "fedavg", variant="x", worse=-1.0)
    found = gains(results_of(tmp_path, memorization=False, files=12, more=(better,), test={"good": 3.0}))
    best = best_for(found, "meta")
    assert best is not None
    assert best.strategy == "good"
    assert best.gain is not None
    assert best.gain > 0
    assert best.on_test
    assert best.reported.gain == best.test_gain
    assert best.test_gain == pytest.approx(best.gain - 3.0 / 3 / log(2), abs=0.02)
    assert best.verdict == "loses"
    assert best.reported_note == best.test_note != ""


def test_without_a_test_split_validation_is_quoted(results: RunResults) -> None:
    for gain in gains(results):
        assert not gain.on_test
        assert (gain.reported.gain, gain.reported.low, gain.reported_note) == (gain.gain, gain.low, gain.note)
        assert gain.test_gain is None


def test_of_a_personalized_setting_an_organization_gains_by_its_own_model(tmp_path: Path) -> None:
    found = results_of(tmp_path, more=(Setting("tuned", "personalized"),))
    rows = {gain.organization: gain for gain in gains(found) if gain.strategy == "tuned"}
    assert list(rows) == list(ORGANIZATIONS)
    for organization, gain in rows.items():
        (own,) = [m for m in found.reached_models if m.strategy == "tuned" and m.final and m.last == organization]
        assert gain.together == found.measures(own.model)["bits_per_byte", organization]
