"""Small real runs whose rounds end early: what is trained, what stays, and what a second run finds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysim.cluster.backend import InlineBackend
from raysim.store.retention import Keep

ROUNDS = {"rounds": 5, "local_epochs": 1}
HOPELESS = {"patience": 1, "min_delta": 100.0}
"""Nothing is so much better than the first round: it ends after the second validation."""


def entry(**early_stop: Any) -> list[Any]:
    return [{"fedyogi": {**ROUNDS, "early_stop": {**HOPELESS, **early_stop}}}]


def test_rounds_are_those_of_the_setting_without_it_as_far_as_they_go(run_study) -> None:
    stopped, whole = run_study(InlineBackend(), entry()), run_study(InlineBackend(), [{"fedyogi": ROUNDS}])
    assert len(stopped.keys("train")) == 2 * 2
    assert stopped.keys("aggregate") == whole.keys("aggregate")[:2]
    for key in stopped.keys("aggregate"):
        ours, theirs = (results.store.get(key).array("weights") for results in (stopped, whole))
        assert np.array_equal(ours, theirs)
    reached = [m.checkpoint for m in stopped.reached if m.checkpoint.moment == "round"]
    assert [(m.index, m.final) for m in reached] == [(1, False), (2, True)]
    sent = [m.checkpoint for m in stopped.reached if m.checkpoint.moment == "upload"]
    assert [(m.index, m.final) for m in sent] == [(1, False)] * 2 + [(2, True)] * 2
    assert stopped.observer.notes == [
        "fedyogi, seed 1: ends after round 2 of 5, since 1 validation brought no improvement; its model is that of"
        " round 2"
    ]
    assert len(stopped.keys("losses")) == 2 * 2


def test_a_second_run_ends_where_the_first_did(run_study, tmp_path: Path) -> None:
    first = run_study(InlineBackend(), entry(every=2), folder=tmp_path)
    second = run_study(InlineBackend(), entry(every=2), folder=tmp_path)
    assert {row["status"] for row in second.rows} == {"cached"}
    assert [m.checkpoint for m in first.reached] == [m.checkpoint for m in second.reached]


@pytest.mark.parametrize("keep", ["leaves", "models"])
def test_the_model_that_it_ends_with_stays(run_study, keep: Keep) -> None:
    results = run_study(InlineBackend(), entry(keep="best"), keep=keep)
    final = [m.checkpoint for m in results.reached if m.checkpoint.final and m.checkpoint.moment == "round"]
    assert [m.index for m in final] == [1]
    assert not results.store.get(final[0].model).dropped
    assert results.store.get(results.keys("train")[0]).dropped


def test_rounds_of_flowers_end_alike(run_study) -> None:
    pytest.importorskip("flwr")
    results = run_study(InlineBackend(), [{"flower": {**ROUNDS, "early_stop": HOPELESS}}])
    reached = [m.checkpoint for m in results.reached if m.checkpoint.moment == "round"]
    assert [(m.index, m.final) for m in reached] == [(1, False), (2, True)]
