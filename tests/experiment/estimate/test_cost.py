"""What a store holds at most and in the end, against every moment of a run counted one by one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.experiment.estimate.cost import footprint
from raysim.measures.base import PlannedEvaluation
from raysim.simulation.planner import Plan, PlannedModel
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.retention import Keep, StoreSettings

KEEPS: tuple[Keep, ...] = ("all", "models", "leaves", "metrics")


def plan_of(parents: dict[str, str | None], finals: set[str], buffers: dict[str, int] | None = None) -> Plan:
    """Stages by their names, each with the one that it starts from; none for the initial weights."""
    plan = Plan()
    for key, parent in parents.items():
        plan.recipes[key] = {"kind": "train", "weights": parent} if parent else {"kind": "initial"}
        plan.buffers[key] = (buffers or {}).get(key, 1)
    strategy_run: Any = None  # footprint asks for milestones alone
    plan.models += [
        PlannedModel(strategy_run, ModelCheckpoint(key, "stage", 1, final=key in finals)) for key in parents
    ]
    return plan


def planned(recipes: dict[str, Any]) -> dict[str, PlannedEvaluation]:
    """The work of `recipes`, generation in batches."""
    return {key: PlannedEvaluation(recipe, 0, recipe["kind"] == "generate") for key, recipe in recipes.items()}


CHAIN = {"initial": None, "a": "initial", "b": "a"}


@pytest.mark.parametrize(
    ("keep", "peak", "end"), [("all", 3, 3), ("models", 3, 3), ("leaves", 2, 1), ("metrics", 2, 0)]
)
def test_a_chain_is_at_most_two_models_wide(keep: Keep, peak: int, end: int) -> None:
    """Beside them lie the three buffers of the checkpoint of the one stage at a time."""
    assert footprint(plan_of(CHAIN, {"b"}), {}, StoreSettings(keep=keep), slots=1, wave=1) == (peak + 3, end)


@pytest.mark.parametrize(("wave", "peak"), [(1, 2), (2, 2), (3, 3), (9, 3)])
def test_models_wait_for_the_others_of_their_wave(wave: int, peak: int) -> None:
    measures = {f"probe {key}": {"kind": "generate", "weights": key} for key in CHAIN}
    assert footprint(plan_of(CHAIN, {"b"}), planned(measures), StoreSettings(keep="metrics"), slots=1, wave=wave) == (
        peak + 3,
        0,
    )


def test_every_slot_may_hold_a_checkpoint_and_a_branch_of_its_own() -> None:
    plan = plan_of(CHAIN, {"b"}, {"a": 3})
    assert footprint(plan, {}, StoreSettings(keep="all"), slots=3, wave=1) == (5 + 9, 5)
    assert footprint(plan, {}, StoreSettings(keep="metrics"), slots=3, wave=1) == (4 + 9 + 2 * 3 * 2, 0)


def test_snapshots_stay_as_models_do() -> None:
    """They have no recipe in the plan; what is measured of them names them."""
    measures = {"score": {"kind": "losses", "weights": "snapshot"}}
    ends = [
        footprint(plan_of(CHAIN, {"b"}), planned(measures), StoreSettings(keep=keep), slots=1, wave=1)[1]
        for keep in KEEPS
    ]
    assert ends == [4, 4, 1, 0]


@st.composite
def trees(draw: st.DrawFn) -> tuple[Plan, dict[str, dict[str, str]]]:
    parents: dict[str, str | None] = {"0": None}
    for number in range(1, draw(st.integers(1, 9))):
        parents[str(number)] = draw(st.sampled_from(list(parents)))
    buffers = {key: draw(st.integers(1, 3)) for key in parents}
    measured = [(kind, key) for key in parents for kind in draw(st.sets(st.sampled_from(["losses", "generate"])))]
    plan = plan_of(parents, draw(st.sets(st.sampled_from(list(parents)))), buffers)
    return plan, {f"{kind} {key}": {"kind": kind, "weights": key} for kind, key in measured}


@given(trees(), st.sampled_from(KEEPS), st.integers(1, 4))
def test_peak_and_end_are_those_of_a_run_counted_moment_by_moment(
    tree: tuple[Plan, dict[str, dict[str, str]]], keep: Keep, wave: int
) -> None:
    """A model is there from when it is made until its last reader has ended, or for good if it is kept."""
    plan, measures = tree
    ends: list[str] = []  # work, in the order in which it ends
    waiting: list[str] = []
    for model in plan.buffers:
        ends.append(model)
        for work in (work for work, recipe in measures.items() if recipe["weights"] == model):
            (waiting if measures[work]["kind"] == "generate" else ends).append(work)
        if len(waiting) >= wave:
            ends += waiting
            waiting.clear()
    ends += waiting
    recipes: dict[str, Any] = {**plan.recipes, **measures}
    last = {m: max(i for i, w in enumerate(ends) if w == m or recipes[w].get("weights") == m) for m in plan.buffers}
    for model in plan.buffers:
        if keep in ("all", "models") or (keep == "leaves" and model in plan.leaves):
            last[model] = len(ends)
    there = [sum(plan.buffers[m] for m in plan.buffers if ends.index(m) <= i <= last[m]) for i in range(len(ends) + 1)]
    assert footprint(plan, planned(measures), StoreSettings(keep=keep), slots=1, wave=wave) == (
        max(there) + 3,
        there[-1],
    )
