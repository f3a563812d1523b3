"""The inline backend and Ray actors run the same plain objects: equal keys, equal bits, however much runs at once."""

from typing import Any

import numpy as np
import pytest

from raysim.cluster.backend import InlineBackend
from raysim.cluster.ray_backend import RayBackend

ENTRIES = ["single", "incremental", {"fedavg": {"rounds": 2}}]
FEW = [{"incremental": {"orders": [["alpha", "beta"]]}}, {"fedavg": {"rounds": 2}}, {"flower": {"rounds": 1}}]
"""Stages behind one another, rounds, and a round of Flower's."""


@pytest.fixture(scope="module")
def inline(run_study):
    return run_study(InlineBackend(), ENTRIES)


def assert_equal(one, other) -> None:
    assert one.used == other.used
    ours, theirs = one.weights(), other.weights()
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert np.array_equal(ours[key].view(np.uint32), theirs[key].view(np.uint32)), key


def test_planned_work_is_done_work(inline) -> None:
    # alpha, beta, and each behind the other; in each of 2 rounds both.
    assert sorted(inline.keys("train", "computed")) == sorted(inline.plan.unique_stages())
    assert len(inline.plan.unique_stages()) == 4 + 4
    assert inline.keys("aggregate") == inline.plan.aggregations
    assert len(inline.plan.aggregations) == 2
    assert inline.keys("initial") == [inline.context.initial_key()]
    assert inline.used == {*inline.plan.unique_stages(), *inline.plan.aggregations, inline.context.initial_key()}


def test_every_planned_model_is_reached(inline) -> None:
    planned = [(m.strategy_run.name, m.checkpoint) for m in (*inline.plan.models, *inline.plan.uploads)]
    reached = [(m.strategy_run.name, m.checkpoint) for m in inline.reached]
    assert sorted(map(repr, planned)) == sorted(map(repr, reached))


def test_two_slots_change_nothing(inline, run_study) -> None:
    assert_equal(inline, run_study(InlineBackend(), ENTRIES, slots=2))


def on_ray(run_study, entries: list[Any], slots: int) -> Any:
    backend = RayBackend(None, 2)
    try:
        return run_study(backend, entries, slots=slots)
    finally:
        backend.close()


@pytest.mark.stress
def test_ray_equals_inline(run_study, ray_session: None) -> None:
    assert_equal(run_study(InlineBackend(), FEW), on_ray(run_study, FEW, 2))


@pytest.mark.stress
@pytest.mark.parametrize("slots", [1, 2])
def test_ray_equals_inline_in_every_order(inline, run_study, ray_session: None, slots: int) -> None:
    assert_equal(inline, on_ray(run_study, ENTRIES, slots))
