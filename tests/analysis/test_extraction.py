"""Views of the table `extraction`, and what the page says of them."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_tables import recited

from raysim.analysis.extraction import (
    CHANCES,
    SAMPLES,
    SHOWN_SAMPLES,
    curve,
    discoverable,
    extraction_rows,
    lengths,
    num_passages,
    samples_needed,
)
from raysim.analysis.results import RunResults
from raysim.report.run_page import write_run_page
from raysim.tables.io import read_table, write_table
from raysim.tables.results import open_run


def counted(one: Fraction, chance: Fraction) -> int:
    """The first n at which enough of the samples would be the suffix, one n after the other."""
    n, missed = 1, 1 - one
    while 1 - missed < chance:
        n, missed = n + 1, missed * (1 - one)
    return n


@given(
    st.fractions(Fraction(1, 200), Fraction(199, 200), max_denominator=200), st.sampled_from(["1/10", "1/2", "9/10"])
)
def test_equals_counting_with_fractions(one: Fraction, chance: str) -> None:
    found = samples_needed(np.array([math.log(one)]), float(Fraction(chance)))
    assert found.tolist() == [counted(one, Fraction(chance))]


@pytest.mark.parametrize(
    ("one", "chance", "needed"),
    [
        (0.5, 0.5, 1),
        (0.5, 0.75, 2),
        (0.5, 0.751, 3),
        (0.5, 0.96875, 5),
        (0.1, 0.1, 1),
        (0.1, 0.5, 7),
        (0.01, 0.99, 459),
        (1.0, 0.99, 1),
    ],
)
def test_by_hand(one: float, chance: float, needed: int) -> None:
    log_p = np.array([math.log(one)])
    assert samples_needed(log_p, chance).tolist() == [needed]
    assert discoverable(log_p, needed, chance).tolist() == [True]
    assert discoverable(log_p, needed - 1, chance).tolist() == [False]


@pytest.mark.parametrize("log_p", [-30.0, -39.0, -41.0, -300.0, -650.0])
@pytest.mark.parametrize("chance", CHANCES)
def test_tiny_probabilities(log_p: float, chance: float) -> None:
    """Where (1-p)^n is e^-pn to sixteen digits; -650 is where 1-p has long been 1 as a float."""
    needed = samples_needed(np.array([log_p]), chance)[0]
    assert needed == pytest.approx(-math.log(1 - chance) * math.exp(-log_p), rel=1e-9)


def test_never_and_beyond_all_floats() -> None:
    assert samples_needed(np.array([-math.inf, -2000.0]), 0.5).tolist() == [math.inf, math.inf]


def test_rounding_above_certainty_is_certainty() -> None:
    assert samples_needed(np.array([1e-16, -0.0]), 0.99).tolist() == [1, 1]


@given(st.lists(st.floats(-60, 0), min_size=1, max_size=9))
def test_curves_rise_with_samples_and_fall_with_the_chance(values: list[float]) -> None:
    log_p = np.array(values)
    curves = [curve(log_p, chance) for chance in CHANCES]
    assert all((np.diff(one) >= 0).all() for one in curves)
    assert all((low >= high).all() for low, high in itertools.pairwise(curves))
    n = SAMPLES.index(10)
    assert curves[1][n] == np.mean([1 - (1 - math.exp(value)) ** 10 >= 0.5 for value in values])


def test_decades_are_among_the_numbers_of_samples() -> None:
    assert {10.0**k for k in range(7)} <= set(SAMPLES)


@pytest.fixture(scope="module")
def results(build_run) -> RunResults:
    return recited(build_run(seeds=(1, 2), prompts=4))


def test_shares_by_hand(results: RunResults) -> None:
    found = {row.label: values for row, values in extraction_rows(results)}
    assert lengths(results) == [32, 100]
    assert num_passages(results) == {"meta": (2, 2), "microsoft": (2, 2), "google": (2, 1)}
    federated = found["fedavg"]
    assert [pair.tolist() for pair in federated["by_length"]] == [[0, 0.5], [0.5, 1]]
    assert [(pair.tolist(), part) for pair, part in federated["by_owner"]] == [([0.5, 1], True)] * 3
    # At even odds one sample suffices for p = 0.5; 0.001 takes 693.
    assert SHOWN_SAMPLES == (1, 100, 10_000)
    assert federated["by_samples"].tolist() == [0.5, 0.5, 1]
    alone = found["single: meta"]
    assert [(pair.tolist(), part) for pair, part in alone["by_owner"]] == [([0.5, 1], True), *[([0, 0], False)] * 2]
    assert [pair.tolist() for pair in alone["by_length"]] == [[0, 0.5], [0.5, 1]]
    assert found["centralized"]["by_length"][1].tolist() == [0.25, 0.5]  # over seeds


def test_the_page_shows_both(results: RunResults) -> None:
    page = write_run_page(results.run.path).read_text(encoding="utf-8")
    assert 'data-figure="extraction"' in page
    assert "Behind 100 tokens" in page
    assert "<td>50.0 %<small>near: 100.0 %</small></td><td>(0.0 %)</td><td>(0.0 %)</td>" in page  # single: meta
    assert "Passages: meta 2 of 2 files, microsoft 2 of 2 files, google 2 of 1 file; those of one file are" in page


def test_fewer_passages_than_asked_for_are_said(results: RunResults) -> None:
    path = results.run.path / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest.setdefault("experiment", {})["measure"] = {"memorization": {"extraction": {"passages": 9}}}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    page = write_run_page(results.run.path).read_text(encoding="utf-8")
    assert "(9 were asked for;" in page
    assert "behind each length stands another suffix" in page


def test_one_suffix_behind_all_lengths_is_not_called_another(build_run, results: RunResults) -> None:
    folder = build_run(prompts=4)
    write_table(folder, "extraction", results.run.table("extraction"))
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest.setdefault("experiment", {})["measure"] = {
        "memorization": {"extraction": {"place": "anywhere", "passages": 9}}
    }
    path.write_text(json.dumps(manifest), encoding="utf-8")
    page = write_run_page(folder).read_text(encoding="utf-8")
    assert "behind each length stands another suffix" not in page
    assert "no more training sequences hold a long enough stretch" in page


def test_without_the_table_the_page_says_what_to_add(build_run) -> None:
    folder = build_run(prompts=4)
    assert read_table(folder, "extraction").num_rows == 0
    assert extraction_rows(RunResults(open_run(folder))) == []
    assert "<code>extraction: {}</code>" in write_run_page(folder).read_text(encoding="utf-8")
