"""The table `counterfactuals`: values by hand, rows of every setting, and what is refused."""

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from raysim.analysis.counterfactuals import Counterfactual, counterfactuals, counterfactuals_table
from raysim.analysis.results import RunResults


@pytest.fixture(scope="module")
def results(build_results: Any) -> RunResults:
    return build_results(leave_one_out=True, prompts=8, seeds=(1, 2))


@pytest.fixture(scope="module")
def rows(results: RunResults) -> list[Counterfactual]:
    return counterfactuals(results)


@pytest.fixture(scope="module")
def of_five_seeds(build_results: Any) -> list[Counterfactual]:
    return counterfactuals(
        build_results(prompts=48, seeds=(1, 2, 3, 4, 5), without=("centralized", "fedavg", "fedyogi"))
    )


def lines_by_hand(results: RunResults, model: str, owner: str, column: str) -> float:
    """Lines of `owner` a prompt, over its own prompts of training text."""
    own = {
        row["prompt"]
        for row in results.run.prompts.to_pylist()
        if row["organization"] == owner and row["kind"] != "held_out"
    }
    found = results.run.samples.filter((pc.field("model") == model) & (pc.field("owner") == owner)).to_pylist()
    return sum(row[column] for row in found if row["prompt"] in own) / len(own)


def model_of(results: RunResults, strategy: str, members: list[str], index: int, seed: int) -> str:
    for row in results.run.models.to_pylist():
        if (row["strategy"], row["index"], row["seed"]) == (strategy, index, seed) and row["moment"] != "initial":
            course = row["members"][:index] if strategy == "incremental" else row["members"]
            if course == members:
                return row["model"]
    raise AssertionError("no such model")


@pytest.mark.parametrize("column", ["exclusive", "covered"])
def test_values_by_hand(results: RunResults, rows: list[Counterfactual], column: str) -> None:
    cases = [
        ("fedavg", "meta + microsoft + google", 10, "google", ["meta", "microsoft"], 10),
        ("incremental", "meta > google > microsoft", 3, "google", ["meta", "microsoft"], 2),
        ("incremental", "meta > google", 2, "meta", ["google"], 1),
    ]
    for strategy, trained_on, index, owner, without, at in cases:
        (row,) = [
            r
            for r in rows
            if (r.strategy, r.trained_on, r.index, r.owner, r.lines) == (strategy, trained_on, index, owner, column)
        ]
        members = trained_on.replace(" > ", " + ").split(" + ")
        ours, theirs = (
            np.mean([lines_by_hand(results, model_of(results, strategy, m, i, seed), owner, column) for seed in (1, 2)])
            for m, i in ((members, index), (without, at))
        )
        assert row.given_away == pytest.approx(ours)
        assert row.without == pytest.approx(theirs)
        assert row.effect == pytest.approx(ours - theirs)
        assert row.trained
        assert row.seeds == 2
        assert row.prompts == 6  # one in four is held out


def test_each_node_of_the_tree_has_a_row_and_each_place_after_the_owner_a_mean(rows: list[Counterfactual]) -> None:
    tree = {r.trained_on for r in rows if r.family == "incremental"} - {""}
    assert len(tree) == 15
    means = [r for r in rows if r.family == "incremental" and not r.trained_on and r.lines == "exclusive"]
    assert sorted((r.owner, r.since) for r in means) == [
        (owner, since) for owner in ("google", "meta", "microsoft") for since in (0, 1, 2)
    ]
    of_final: defaultdict[Any, list[float]] = defaultdict(list)
    for row in rows:
        if row.family == "incremental" and row.index == 3 and row.trained_on and row.lines == "exclusive":
            assert row.effect is not None
            of_final[row.owner, row.since].append(row.effect)
    for row in means:
        assert len(of_final[row.owner, row.since]) == 2
        assert row.effect == pytest.approx(np.mean(of_final[row.owner, row.since]))


def test_the_last_owner_is_given_away_most_and_an_owner_never_seen_not_at_all(
    of_five_seeds: list[Counterfactual],
) -> None:
    rows = [r for r in of_five_seeds if r.lines == "exclusive"]
    means = {(r.owner, r.since): r for r in rows if r.family == "incremental" and not r.trained_on}
    for owner in ("google", "meta", "microsoft"):
        last, before = means[owner, 0], means[owner, 2]
        assert last.low is not None
        assert last.low > 0
        assert before.effect is not None
        assert last.effect is not None
        assert last.effect > before.effect
    untrained = [r for r in rows if not r.trained]
    assert {r.family for r in untrained} == {"single", "incremental"}
    # One sample in a hundred has such a line here, by chance: too few files differ for an interval.
    assert all(r.effect is not None and abs(r.effect) < 0.3 for r in untrained)
    assert all(r.holds_zero or "too few files" in r.note for r in untrained)


def test_what_lacks_a_reference_says_what_adds_one(rows: list[Counterfactual]) -> None:
    lacking = [r for r in rows if r.effect is None]
    assert {r.strategy for r in lacking} == {"centralized", "fedyogi"}
    notes = {r.strategy: r.note for r in lacking}
    assert "leave_one_out: true" in notes["centralized"]
    assert all(r.reference == "" and r.seeds == 0 and r.prompts == 0 for r in lacking)


def test_as_a_table(results: RunResults, rows: list[Counterfactual]) -> None:
    table = counterfactuals_table(results)
    assert table.num_rows == len(rows)
    assert len(
        {
            tuple(r[n] for n in ("strategy", "trained_on", "moment", "index", "since", "owner", "lines"))
            for r in table.to_pylist()
        }
    ) == len(rows)


def test_without_memorization_there_is_nothing(build_results: Any) -> None:
    assert counterfactuals(build_results(memorization=False)) == []
