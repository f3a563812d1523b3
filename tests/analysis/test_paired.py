import numpy as np
import pytest

from raysim.analysis.paired import Ratio, RiskDifference


def test_ratio_of_sums_under_weights():
    ratio = Ratio(np.array([1.0, 3.0, 8.0]), np.array([1.0, 1.0, 2.0]))
    assert ratio(np.array([[1, 1, 1], [2, 0, 1]])) == pytest.approx([12 / 4, 10 / 4])


def test_ratio_of_nothing_is_unknown():
    assert np.isnan(Ratio(np.zeros(2), np.zeros(2))(np.ones((1, 2)))).all()


def test_risk_difference_by_hand():
    # Stratum s: 2 of 2 exposed against 1 of 2, weight 1; stratum t: 0 of 1 against 1 of 3, weight 3 / 4.
    outcomes = np.array([1, 1, 1, 0, 0, 1, 0, 0], dtype=np.float64)
    exposed = np.array([True, True, False, False, True, False, False, False])
    statistic = RiskDifference(outcomes, exposed, np.ones(8, np.bool_), ["s"] * 4 + ["t"] * 4)
    expected = (1 * 0.5 + 0.75 * (-1 / 3)) / 1.75
    assert statistic(np.ones((1, 8)))[0] == pytest.approx(expected)


def test_risk_difference_leaves_out_strata_with_one_side():
    outcomes = np.array([1.0, 0.0, 1.0])
    statistic = RiskDifference(outcomes, np.array([True, False, True]), np.ones(3, np.bool_), ["s", "s", "t"])
    assert statistic(np.ones((1, 3)))[0] == 1.0


def test_risk_difference_leaves_out_what_is_not_used():
    outcomes = np.array([1.0, 0.0, 1.0])
    statistic = RiskDifference(outcomes, np.array([True, False, False]), np.array([True, True, False]), ["s"] * 3)
    assert statistic(np.ones((1, 3)))[0] == 1.0


def test_what_tells_is_what_differs():
    ratio = Ratio(np.array([1.0, 0.0, 2.0]), np.array([1.0, 1.0, 0.0]))
    assert {name: items.tolist() for name, items in ratio.telling.items()} == {"differ": [True, False, False]}


def test_shares_need_both_groups_and_both_outcomes():
    outcomes, exposed, used = np.array([1.0, 0.5, 0.0]), np.array([True, True, False]), np.ones(3, np.bool_)
    telling = RiskDifference(outcomes, exposed, used, ["s"] * 3, ("duplicated", "unique")).telling
    assert {name: items.tolist() for name, items in telling.items()} == {
        "hold duplicated items": [True, True, False],
        "hold unique items": [False, False, True],
        "have the event": [True, True, False],
        "lack it": [False, True, True],
    }
