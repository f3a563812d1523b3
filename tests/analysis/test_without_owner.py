"""Which models a model is held against: by hand, on the tree of three organizations."""

from dataclasses import replace
from typing import Any

import pytest

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.analysis.without_owner import (
    OTHER_MODELS,
    OTHER_ORDERS,
    OTHER_SETTINGS,
    OTHERS_ALONE,
    SAME_WITHOUT,
    course_of,
    references_of,
    stages_since,
)


@pytest.fixture(scope="module")
def reached(build_results: Any) -> list[ReachedModel]:
    results: RunResults = build_results(leave_one_out=True, prompts=1, seeds=(1, 2))
    return results.reached_models


def one(reached: list[ReachedModel], strategy: str, members: str, index: int, seed: int = 1) -> ReachedModel:
    names = tuple(members.split())
    return next(
        m
        for m in reached
        if (m.strategy, m.members, m.index, m.seed) == (strategy, names, index, seed) and m.moment != "initial"
    )


def courses(found: Any) -> set[tuple[str, ...]]:
    return {course_of(m) for m in found.models}


def test_an_order_is_held_against_the_same_order_without_the_owner(reached: list[ReachedModel]) -> None:
    model = one(reached, "incremental", "meta google microsoft", 3, seed=2)
    for owner, rest in (
        ("microsoft", ("meta", "google")),
        ("google", ("meta", "microsoft")),
        ("meta", ("google", "microsoft")),
    ):
        found = references_of(model, owner, reached)
        assert found.kind == SAME_WITHOUT
        assert courses(found) == {rest}
        assert [m.seed for m in found.models] == [2]  # a model of the tree once, however many orders pass it
    second = one(reached, "incremental", "meta google microsoft", 2)
    assert courses(references_of(second, "meta", reached)) == {("google",)}
    first = one(reached, "incremental", "meta google microsoft", 1)
    found = references_of(first, "meta", reached)
    assert [m.moment for m in found.models] == ["initial"]


def test_where_that_order_was_not_run_others_of_the_same_organizations_stand_in(reached: list[ReachedModel]) -> None:
    model = one(reached, "incremental", "meta google microsoft", 3)
    some = [m for m in reached if not (m.family == "incremental" and m.members[:2] == ("meta", "google"))]
    found = references_of(model, "microsoft", some)
    assert (found.kind, courses(found)) == (OTHER_ORDERS, {("google", "meta")})
    ends = [m for m in reached if m.final and m.family == "incremental"]
    assert references_of(model, "microsoft", ends).models == []


def test_pools_and_federations_are_held_against_those_without_the_owner_at_the_same_round(
    reached: list[ReachedModel],
) -> None:
    model = one(reached, "fedavg", "meta microsoft google", 4)
    found = references_of(model, "google", reached)
    assert (found.kind, courses(found)) == (SAME_WITHOUT, {("meta", "microsoft")})
    assert [m.index for m in found.models] == [4]
    # Nobody is left out of fedyogi here, whose settings are others.
    assert references_of(one(reached, "fedyogi", "meta microsoft google", 10), "google", reached).models == []
    alone = references_of(one(reached, "single", "google", 1), "google", reached)
    assert (alone.kind, courses(alone)) == (OTHERS_ALONE, {("meta",), ("microsoft",)})


def test_a_model_never_trained_on_the_owner_is_held_against_others_that_were_not_either(
    reached: list[ReachedModel],
) -> None:
    alone = references_of(one(reached, "single", "meta", 1), "google", reached)
    assert (alone.kind, courses(alone)) == (OTHER_MODELS, {("microsoft",)})
    second = references_of(one(reached, "incremental", "meta microsoft google", 2), "google", reached)
    assert (second.kind, courses(second)) == (OTHER_MODELS, {("microsoft", "meta")})
    pool = references_of(one(reached, "fedavg", "meta microsoft", 10), "google", reached)
    assert pool.kind == OTHER_SETTINGS
    assert {(m.strategy, m.members) for m in pool.models} == {("single", ("meta",)), ("single", ("microsoft",))}


def test_stages_since_the_owners_own(reached: list[ReachedModel]) -> None:
    model = one(reached, "incremental", "meta google microsoft", 3)
    assert [stages_since(model, name) for name in ("meta", "google", "microsoft")] == [2, 1, 0]
    assert stages_since(one(reached, "incremental", "meta google microsoft", 1), "google") is None
    assert stages_since(one(reached, "fedavg", "meta microsoft google", 4), "meta") is None


def test_a_personalized_model_is_held_against_that_of_the_same_organization(reached: list[ReachedModel]) -> None:
    """Or, where it is the owner's own, against those of all others."""
    base = one(reached, "fedavg", "meta microsoft google", 10)
    own = {"strategy": "own", "arm": "own", "family": "personalized", "moment": "stage", "index": 1}
    names = ("meta", "microsoft", "google")
    sets = [names, ("meta", "microsoft")]
    models = [
        replace(base, model=f"{members} {last}", members=members, organizations=members, last=last, **own)
        for members in sets
        for last in members
    ]
    whole = {m.last: m for m in models if m.members == names}
    for last, expected in (("meta", {"meta"}), ("google", {"meta", "microsoft"})):
        found = references_of(whole[last], "google", models)
        assert found.kind == SAME_WITHOUT
        assert {m.last for m in found.models} == expected
