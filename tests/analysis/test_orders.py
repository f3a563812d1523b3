from math import inf

import hypothesis
import hypothesis.strategies as st
import pytest

from raysim.analysis.orders import (
    BITS,
    EXCLUSIVE,
    OrderOutcome,
    best_ranges,
    incremental_orders,
    leakage_weight,
    orders_table,
    outcomes,
    pareto,
)
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.experiment.report_settings import ReportSettings
from raysim.tables.results import open_run


def study_of(folder):
    return RunResults(open_run(folder))


@pytest.fixture(scope="module")
def results(run):
    return study_of(run)


def outcome(name, bits, leak):
    return OrderOutcome((name,), bits, leak)


# Few distinct numbers, so that ties in one cost or in both are common.
costs = st.integers(0, 5).map(lambda number: number / 4)
some_outcomes = st.lists(st.tuples(costs, costs), min_size=1, max_size=8).map(
    lambda pairs: [outcome(str(i), bits, leak) for i, (bits, leak) in enumerate(pairs)]
)


def test_all_orders_are_found_with_all_their_models(results):
    (orders,) = incremental_orders(results)
    assert len(orders.names) == 6
    assert orders.names[0] == ("meta", "microsoft", "google")
    paths = orders.paths[1]
    assert {len(path) for path in paths.values()} == {4}
    assert len({model for path in paths.values() for model in path}) == 1 + 15
    assert orders.num_left_out == 0


def test_orders_over_some_organizations_are_left_out_and_counted(build_run):
    some = (("meta", "google", "microsoft"), ("meta", "google"), ("google", "meta"))
    (orders,) = incremental_orders(study_of(build_run(orders=some, prompts=1)))
    assert orders.names == [("meta", "google", "microsoft")]
    assert orders.num_left_out == 2


def test_a_run_without_incremental_training_has_no_orders(build_run):
    results = study_of(build_run(without=("incremental",), prompts=1))
    assert incremental_orders(results) == []
    assert orders_table(results).num_rows == 0


def test_a_path_that_lacks_a_measure_has_no_course(build_run):
    results = study_of(build_run(prompts=4, probe_stages=False))
    (orders,) = incremental_orders(results)
    assert len(orders.courses(results, BITS)[1]) == 6
    assert orders.courses(results, EXCLUSIVE)[1] == {}
    assert len(orders.finals(results, EXCLUSIVE)[1]) == 6


def test_a_row_holds_what_its_final_model_measured(results):
    rows = {row["order"]: row for row in orders_table(results).to_pylist(maps_as_pydicts="strict")}
    for point in finals(results.reached_models):
        if point.family == "incremental":
            row, found = rows[point.order], results.measures(point.model)
            assert row["model"] == point.model
            assert row["bits_per_byte"] == found["bits_per_byte", ""]
            assert row["exclusive"] == found["exclusive", ""]
            assert row["covered_eligible"]["google"] == found["covered_eligible", "google"]
            assert row["score"] == pytest.approx(row["bits_per_byte"] + 0.05 * row["exclusive"])


def test_ranks_count_the_orders_of_a_seed_with_a_smaller_score(build_run):
    rows = orders_table(study_of(build_run(seeds=(1, 2), prompts=4))).to_pylist()
    for seed in (1, 2):
        scores = [row["score"] for row in rows if row["seed"] == seed]
        for row in (row for row in rows if row["seed"] == seed):
            assert row["rank"] == 1 + sum(score < row["score"] for score in scores)


def test_pareto_rests_on_the_mean_over_seeds(build_run):
    results = study_of(build_run(seeds=(1, 2), prompts=4))
    (orders,) = incremental_orders(results)
    rows = orders_table(results).to_pylist()
    mean = {one.order: one for one in outcomes(results, orders)}
    one = orders.names[0]
    mine = [row for row in rows if row["order"] == " > ".join(one)]
    assert mean[one].bits_per_byte == pytest.approx(sum(row["bits_per_byte"] for row in mine) / 2)
    assert {row["pareto"] for row in mine} == {one in pareto(mean.values())}


@pytest.mark.parametrize("settings", [{"memorization": False}, {"perplexity": False}])
def test_without_one_of_the_measures_there_is_no_score(build_run, settings):
    rows = orders_table(study_of(build_run(prompts=2, **settings))).to_pylist()
    assert len(rows) == 6
    assert all(row["score"] is row["rank"] is row["pareto"] is None for row in rows)


def test_the_weight_is_that_of_the_experiment(build_run):
    results = study_of(build_run(prompts=4, leakage_weight=2.0))
    row = orders_table(results).to_pylist()[0]
    assert row["leakage_weight"] == 2.0
    assert row["score"] == pytest.approx(row["bits_per_byte"] + 2 * row["exclusive"])


def test_the_weight_has_a_default(results):
    assert leakage_weight(results) == ReportSettings().leakage_weight == 0.05


def test_the_weight_may_be_zero(build_run):
    assert leakage_weight(study_of(build_run(prompts=1, leakage_weight=0.0))) == 0.0


def test_pareto_by_hand():
    found = [outcome("good", 1.0, 4.0), outcome("quiet", 2.0, 1.0), outcome("beaten", 2.0, 2.0), outcome("bad", 3, 4)]
    assert pareto(found) == {("good",), ("quiet",)}


@hypothesis.settings(deadline=None)
@hypothesis.given(some_outcomes)
def test_an_order_is_in_the_pareto_set_unless_another_is_as_good_in_both_and_better_in_one(found):
    for one in found:
        better = [
            other
            for other in found
            if other.bits_per_byte <= one.bits_per_byte
            and other.exclusive <= one.exclusive
            and (other.bits_per_byte < one.bits_per_byte or other.exclusive < one.exclusive)
        ]
        assert (one.order in pareto(found)) == (not better)


def test_best_ranges_by_hand():
    # a and b meet at 0.5, b and c at 1.5; d and e are nowhere the lowest line.
    costs_of = {"c": (3, 0), "a": (1, 2), "d": (3, 1), "b": (1.5, 1), "e": (4, 0)}
    found = [outcome(name, *pair) for name, pair in costs_of.items()]
    ranges = [(one.low, one.high, one.outcome.order[0]) for one in best_ranges(found)]
    assert ranges == [(0.0, 0.5, "a"), (0.5, 1.5, "b"), (1.5, inf, "c")]


def test_one_order_is_best_at_any_price():
    (one,) = best_ranges([outcome("a", 1, 2)])
    assert (one.low, one.high) == (0.0, inf)


def test_of_no_order_none_is_best():
    assert best_ranges([]) == []


@hypothesis.settings(deadline=None)
@hypothesis.given(some_outcomes, st.one_of(st.floats(0, 8), st.sampled_from([0.0, 0.5, 1.0, 2.0, 1e6])))
def test_whatever_the_weight_the_range_that_holds_it_names_a_best_order(found, weight):
    inside = [one for one in best_ranges(found) if one.low <= weight <= one.high]
    assert inside
    best = min(one.score(weight) for one in found)
    assert all(one.outcome.score(weight) == pytest.approx(best, abs=1e-9) for one in inside)


@hypothesis.settings(deadline=None)
@hypothesis.given(some_outcomes)
def test_ranges_follow_each_other_from_zero_to_infinity(found):
    ranges = best_ranges(found)
    assert ranges[0].low == 0
    assert ranges[-1].high == inf
    assert all(one.low < one.high for one in ranges)
    assert [one.high for one in ranges[:-1]] == [one.low for one in ranges[1:]]
    assert {one.outcome.order for one in ranges} <= pareto(found)
