from itertools import combinations, permutations
from math import isnan

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from raysim.analysis.order_effects import (
    Term,
    all_terms,
    attribution,
    effects_table,
    pairwise_regression,
    position_effects,
    precedence_effects,
    predecessor_effects,
)
from raysim.analysis.orders import Order, incremental_orders
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import t_interval
from raysim.tables.results import open_run

ABC = ("a", "b", "c")
ABCD = ("a", "b", "c", "d")


def all_orders(names: Order) -> list[Order]:
    return list(permutations(names))


VALUES = {order: float(value) for value, order in enumerate(all_orders(ABC), start=1)}
"""Their mean is 3.5, the sum of their squares about it 17.5."""
SOME = {order: VALUES[order] for order in (("a", "b", "c"), ("b", "a", "c"))}


def by_text(effects):
    return {effect.term.text: effect for effect in effects}


def rows_of(results):
    rows = effects_table(results).to_pylist()
    return {(row["measure"], row["owner"], row["method"], row["term"]): row for row in rows}


def test_position_by_hand():
    found = by_text(position_effects(VALUES, ABC))
    assert len(found) == 9
    assert [found[f"a at {k}"].estimate for k in (1, 2, 3)] == pytest.approx([-2.0, 0.5, 1.5])
    assert found["a at 1"].n == 2
    assert found["a at 1"].r_squared == pytest.approx(2 * (4 + 0.25 + 2.25) / 17.5)


def test_a_position_that_all_or_none_of_the_orders_hold_has_no_effect():
    assert set(by_text(position_effects(SOME, ABC))) == {"a at 1", "a at 2", "b at 1", "b at 2"}


def test_position_effects_are_those_of_the_component_position_model_times_m_over_m_minus_1():
    rng = np.random.default_rng(1)
    tau = rng.normal(size=(4, 4))
    tau -= tau.mean(0, keepdims=True)
    tau -= tau.mean(1, keepdims=True)
    values = {o: 7 + sum(tau[ABCD.index(x), k] for k, x in enumerate(o)) for o in all_orders(ABCD)}
    for effect in position_effects(values, ABCD):
        place = int(effect.term.text[-1]) - 1
        assert effect.estimate == pytest.approx(4 / 3 * tau[ABCD.index(effect.term.organization), place])


def test_predecessors_by_hand():
    found = by_text(predecessor_effects(VALUES, ABC))
    assert len(found) == 6
    # abc and cab; what follows a is b (mean 3), c (mean 2.5) or nothing (mean 5).
    assert found["a right before b"].estimate == pytest.approx(-0.5)
    assert found["a right before b"].n == 2
    assert found["a right before b"].r_squared == pytest.approx(2 * (0.25 + 1 + 2.25) / 17.5)


def test_precedence_by_hand():
    found = by_text(precedence_effects(VALUES, ABC))
    assert set(found) == {"a before b", "a before c", "b before c"}
    assert found["a before b"].estimate == pytest.approx((1 + 2 + 5) / 3 - (3 + 4 + 6) / 3)
    assert found["a before b"].r_squared == pytest.approx(6 * (5 / 6) ** 2 / 17.5)
    assert found["a before b"].n == 6


def test_a_pair_that_always_comes_in_one_order_has_no_effect():
    assert set(by_text(precedence_effects(SOME, ABC))) == {"a before b"}


@pytest.mark.parametrize("values", [{}, {ABC: 1.0}])
@pytest.mark.parametrize("effects", [position_effects, predecessor_effects, precedence_effects, pairwise_regression])
def test_one_order_shows_no_effect(effects, values):
    assert effects(values, ABC) == []


def test_nothing_is_explained_where_nothing_varies():
    effects = position_effects(dict.fromkeys(VALUES, 0.1), ABC)
    assert {effect.r_squared for effect in effects} == {None}
    assert [effect.estimate for effect in effects] == pytest.approx([0.0] * 9)


def test_groups_of_one_order_explain_nothing():
    values = {("a", "b"): 1.0, ("b", "a"): 2.0}
    effects = position_effects(values, ("a", "b"))
    assert by_text(effects)["a at 1"].estimate == -0.5
    assert {effect.r_squared for effect in effects} == {None}


def truth(order, coefficients):
    pairs = combinations(ABCD, 2)
    return 2.0 + sum(
        b * (1 if order.index(j) < order.index(k) else -1) for b, (j, k) in zip(coefficients, pairs, strict=True)
    )


def test_the_regression_finds_a_linear_truth():
    coefficients = [0.5, -1.0, 0.25, 0.0, 2.0, -0.75]
    found = pairwise_regression({o: truth(o, coefficients) for o in all_orders(ABCD)}, ABCD)
    assert [effect.estimate for effect in found] == pytest.approx(coefficients)
    assert {effect.n for effect in found} == {24}
    assert [effect.r_squared for effect in found] == pytest.approx([1.0] * 6)


def test_the_regression_is_least_squares():
    rng = np.random.default_rng(2)
    values = {o: truth(o, rng.normal(size=6)) for o in all_orders(ABCD)}
    design = np.array([[1.0, *(np.sign(o.index(k) - o.index(j)) for j, k in combinations(ABCD, 2))] for o in values])
    y = np.array(list(values.values()))
    expected, residual, _, _ = np.linalg.lstsq(design, y)
    found = pairwise_regression(values, ABCD)
    assert [effect.estimate for effect in found] == pytest.approx(list(expected[1:]))
    assert found[0].r_squared == pytest.approx(1 - residual[0] / ((y - y.mean()) ** 2).sum())


def test_three_organizations_are_not_regressed():
    assert pairwise_regression(VALUES, ABC) == []


def test_coefficients_that_the_orders_do_not_identify_are_left_out():
    # Only a and b, and c and d, ever change places: the other pairs are the constant.
    orders = [ABCD, ("b", "a", "c", "d"), ("a", "b", "d", "c"), ("b", "a", "d", "c")]
    coefficients = [0.5, 9.0, 9.0, 9.0, 9.0, -0.75]
    found = by_text(pairwise_regression({o: truth(o, coefficients) for o in orders}, ABCD))
    assert set(found) == {"a before b", "c before d"}
    assert found["a before b"].estimate == pytest.approx(0.5)
    assert found["c before d"].estimate == pytest.approx(-0.75)


def test_two_pairs_that_always_turn_together_are_not_told_apart():
    orders = [ABCD, ("b", "a", "d", "c"), ("a", "c", "b", "d")]
    found = by_text(pairwise_regression({o: truth(o, [1, 0, 0, 3, 0, 1]) for o in orders}, ABCD))
    assert set(found) == {"b before c"}
    assert found["b before c"].estimate == pytest.approx(3.0)
    assert found["b before c"].r_squared is None  # as many coefficients as orders


def test_attribution_by_hand():
    courses = {("a", "b"): (10.0, 6.0, 5.0), ("b", "a"): (10.0, 7.0, 4.0)}
    found = by_text(attribution(courses, ("a", "b")))
    assert found["a"].estimate == pytest.approx((-4 - 3) / 2)
    assert found["b"].estimate == pytest.approx((-1 - 3) / 2)
    assert found["a"].n == 2


def test_no_course_attributes_nothing():
    assert attribution({}, ABC) == []


numbers = st.floats(-100, 100)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.data())
def test_contributions_sum_to_final_minus_initial(data):
    """The law of efficiency, over all orders and over some of them."""
    orders = data.draw(st.lists(st.sampled_from(all_orders(ABC)), min_size=1, unique=True))
    initial = data.draw(numbers)
    courses = {order: (initial, *data.draw(st.tuples(numbers, numbers, numbers))) for order in orders}
    total = sum(effect.estimate for effect in attribution(courses, ABC))
    gain = sum(course[-1] for course in courses.values()) / len(courses) - initial
    assert total == pytest.approx(gain, abs=1e-9)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.dictionaries(st.frozensets(st.sampled_from(ABC)), numbers))
def test_attribution_is_the_shapley_value_where_the_order_makes_no_difference(worth):
    def v(names):
        return worth.get(frozenset(names), 0.0)

    courses = {o: tuple(v(o[:k]) for k in range(4)) for o in all_orders(ABC)}
    found = by_text(attribution(courses, ABC))
    # Shapley's formula with its weights |S|! (n - |S| - 1)! / n! for n = 3.
    expected = (v("a") - v("")) / 3 + (v("ab") - v("b")) / 6 + (v("ac") - v("c")) / 6 + (v("abc") - v("bc")) / 3
    assert found["a"].estimate == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("names", "number"), [(ABC[:2], 9), (ABC, 9 + 6 + 3 + 3), (ABCD, 16 + 12 + 6 + 6 + 4)])
def test_all_terms_are_what_all_orders_identify(names, number):
    rng = np.random.default_rng(3)
    values = {order: float(rng.normal()) for order in all_orders(names)}
    courses = {order: (0.0,) * len(names) + (value,) for order, value in values.items()}
    found = [
        e.term
        for make in (position_effects, predecessor_effects, precedence_effects, pairwise_regression)
        for e in make(values, names)
    ]
    found += [effect.term for effect in attribution(courses, names)]
    assert set(found) == set(all_terms(names))
    assert len(found) == number


def test_a_term_is_its_own_text():
    assert Term("position", "a", position=2).text == "a at 2"
    assert Term("pairwise", "a", "b").text == "a before b"
    assert Term("predecessor", "a", "b").text == "a right before b"
    assert Term("shapley", "a").text == "a"


def test_the_table_holds_the_effects_on_every_measure(run):
    results = RunResults(open_run(run))
    rows = rows_of(results)
    (orders,) = incremental_orders(results)
    assert len(rows) == 5 * (9 + 6 + 3 + 3)
    values = orders.finals(results, ("covered_eligible", "google"))[1]
    last = [value for order, value in values.items() if order[-1] == "google"]
    row = rows["covered_eligible", "google", "position", "google at 3"]
    assert row["estimate"] == pytest.approx(sum(last) / 2 - sum(values.values()) / 6)
    assert (row["organization"], row["other"], row["position"]) == ("google", "", 3)
    assert (row["n"], row["seeds"], row["unit"]) == (2, 1, "lines a prompt")
    assert row["low"] is row["high"] is None
    shapley = [
        row["estimate"] for (m, _, method, _), row in rows.items() if (m, method) == ("bits_per_byte", "shapley")
    ]
    bits = orders.courses(results, ("bits_per_byte", ""))[1].values()
    assert sum(shapley) == pytest.approx(sum(course[-1] - course[0] for course in bits) / 6)


def test_effects_are_averaged_over_seeds_with_students_interval(build_run):
    results = RunResults(open_run(build_run(seeds=(1, 2, 3), prompts=4)))
    row = rows_of(results)["exclusive", "", "position", "meta at 1"]
    (orders,) = incremental_orders(results)
    estimates = []
    for values in orders.finals(results, ("exclusive", "")).values():
        first = [value for order, value in values.items() if order[0] == "meta"]
        estimates.append(sum(first) / 2 - sum(values.values()) / 6)
    assert row["estimate"] == pytest.approx(sum(estimates) / 3)
    assert (row["low"], row["high"]) == pytest.approx(t_interval(estimates))
    assert (row["n"], row["seeds"]) == (6, 3)


def test_four_organizations_are_regressed(build_run):
    results = RunResults(open_run(build_run(organizations=ABCD, prompts=2, files=2)))
    rows = rows_of(results)
    assert sum(method == "pairwise" for _, _, method, _ in rows) == 6 * 6
    assert rows["bits_per_byte", "", "pairwise", "a before b"]["n"] == 24


def test_without_memorization_the_losses_still_have_effects(build_run):
    measures = {measure for measure, _, _, _ in rows_of(RunResults(open_run(build_run(memorization=False))))}
    assert measures == {"bits_per_byte"}


def test_only_stages_that_were_probed_are_attributed(build_run):
    rows = rows_of(RunResults(open_run(build_run(probe_stages=False, prompts=4))))
    attributed = {measure for measure, _, method, _ in rows if method == "shapley"}
    assert attributed == {"bits_per_byte"}
    assert ("exclusive", "", "position", "meta at 1") in rows


def test_one_order_alone_gives_its_contributions_and_no_effect(build_run):
    rows = rows_of(RunResults(open_run(build_run(orders=(("google", "meta", "microsoft"),), prompts=4))))
    assert {method for _, _, method, _ in rows} == {"shapley"}
    assert rows["exclusive", "", "shapley", "google"]["n"] == 1


def test_no_number_is_nan(run):
    rows = effects_table(RunResults(open_run(run))).to_pylist()
    numbers = [row[name] for row in rows for name in ("estimate", "low", "high", "r_squared")]
    assert not any(isnan(number) for number in numbers if number is not None)
