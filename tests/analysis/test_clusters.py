import numpy as np
import pytest

from raysim.analysis.clusters import clusters_of
from raysim.analysis.paired import Ratio


def made(in_play, organizations, repositories, files):
    return clusters_of(np.array(in_play, dtype=np.bool_), organizations, repositories, files)


@pytest.mark.parametrize(("second", "kind", "number"), [(10, "repositories", 20), (9, "files", 40)])
def test_repositories_are_the_clusters_where_every_organization_has_ten(second, kind, number):
    organizations = ["a"] * 20 + ["b"] * 20
    repositories = [f"r{i // 2}" for i in range(20)] + [f"r{i % second}" for i in range(20)]
    found = made([True] * 40, organizations, repositories, [f"f{i}" for i in range(40)])
    assert (found.kind, len(found)) == (kind, number)


def test_only_items_in_play_count():
    organizations = ["a"] * 20
    repositories = [f"r{i}" for i in range(20)]
    found = made([i < 9 for i in range(20)], organizations, repositories, [f"f{i // 3}" for i in range(20)])
    assert (found.kind, len(found)) == ("files", 3)
    assert found.of_item[9:].tolist() == [-1] * 11
    assert found.count(np.array([i in (0, 1, 3, 15) for i in range(20)])) == 2


def test_equal_names_of_two_organizations_are_two_clusters():
    assert len(made([True, True], ["a", "b"], None, ["x.py", "x.py"])) == 2


def test_organizations_are_strata_where_each_has_five():
    files = [f"f{i}" for i in range(10)]
    assert set(made([True] * 10, ["a"] * 5 + ["b"] * 5, None, files).strata) == {"a", "b"}
    assert set(made([True] * 10, ["a"] * 6 + ["b"] * 4, None, files).strata) == {""}


def test_the_others_of_a_stratum_make_up_for_the_one_left_out():
    organizations, files = ["a"] * 5 + ["b"] * 6, [f"f{i}" for i in range(10)] + ["f9"]
    found = made([True] * 11, organizations, None, files)
    weights = found.left_out()
    assert weights.shape == (10, 11)
    assert weights[0].tolist() == pytest.approx([0.0] + [1.25] * 4 + [1.0] * 6)
    assert weights[9].tolist() == pytest.approx([1.0] * 5 + [1.25] * 4 + [0.0] * 2)
    # So a mean without a cluster is the mean of the others, stratum by stratum.
    values = np.arange(11.0)
    ratio = Ratio(values, np.ones(11))
    assert ratio(weights)[0] == pytest.approx((np.mean([1, 2, 3, 4]) * 5 + values[5:].sum()) / 11)
