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
    exposed = [True, True, False, False, True, False, False, False]
    statistic = RiskDifference(outcomes, exposed, [True] * 8, ["s"] * 4 + ["t"] * 4)
    expected = (1 * 0.5 + 0.75 * (-1 / 3)) / 1.75
    assert statistic(np.ones((1, 8)))[0] == pytest.approx(expected)


def test_risk_difference_leaves_out_strata_with_one_side():
    outcomes = np.array([1.0, 0.0, 1.0])
    statistic = RiskDifference(outcomes, [True, False, True], [True] * 3, ["s", "s", "t"])
    assert statistic(np.ones((1, 3)))[0] == 1.0


def test_risk_difference_leaves_out_what_is_not_used():
    outcomes = np.array([1.0, 0.0, 1.0])
    statistic = RiskDifference(outcomes, [True, False, False], [True, True, False], ["s"] * 3)
    assert statistic(np.ones((1, 3)))[0] == 1.0
