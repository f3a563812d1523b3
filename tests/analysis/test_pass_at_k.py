"""The table `pass_at_k`."""

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pyarrow as pa
import pytest
from measured_tables import solved

from raysim.analysis.pass_at_k import pass_at_k, pass_at_k_table
from raysim.analysis.results import RunResults
from raysim.report.sections.pass_at_k import solving
from raysim.tables.io import read_table, write_table
from raysim.tables.results import open_run


@pytest.fixture
def folder(build_run):
    return solved(build_run())


@pytest.mark.parametrize("samples", [1, 2, 5, 20, 200])
def test_against_exact_fractions(samples):
    for passed in range(samples + 1):
        for k in {1, 2, 3, samples // 2, samples} & set(range(1, samples + 1)):
            exact = 1 - Fraction(comb(samples - passed, k), comb(samples, k))
            assert pass_at_k(samples, passed, k) == pytest.approx(float(exact), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("samples", range(1, 8))
def test_against_every_subset(samples):
    for passed, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        draws = list(itertools.combinations([i < passed for i in range(samples)], k))
        assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_it_does_not_overflow():
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)


@pytest.mark.parametrize(("samples", "passed", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 6), (5, 1, 0)])
def test_more_than_there_is(samples, passed, k):
    with pytest.raises(ValueError, match="cannot have passed"):
        pass_at_k(samples, passed, k)


def test_the_table_is_a_mean_over_problems_with_an_interval(folder):
    rows = pass_at_k_table(open_run(folder)).to_pylist()
    assert len({row["model"] for row in rows}) * 2 == len(rows)
    first, second = rows[:2]
    assert (first["k"], second["k"]) == (1, 2)
    assert first["value"] == pytest.approx((1 + 1 / 4 + 0) / 3)
    assert second["value"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert (first["problems"], first["samples"]) == (3, 4)
    # All 27 ways to draw three of the three problems are equally likely.
    means = [sum(draw) / 3 for draw in itertools.product((1, 1 / 4, 0), repeat=3)]
    ends = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert (first["low"], first["high"]) == pytest.approx(tuple(ends))


def test_problems_that_are_alike_have_no_interval(folder):
    table = read_table(folder, "executions")
    same = table.filter(pa.array([name == "P/0" for name in table["problem"].to_pylist()]))
    write_table(folder, "executions", same)
    rows = pass_at_k_table(open_run(folder)).to_pylist()
    assert {(row["value"], row["low"], row["high"]) for row in rows} == {(1.0, None, None)}
    found = solving(RunResults(open_run(folder)), rows)
    assert found
    assert found.rows[0][1][0].spread == "no interval"
