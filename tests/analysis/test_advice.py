"""Advice against its rule by brute force, and the sentences on the cases that it has."""

from dataclasses import replace

import numpy as np
import pytest

from raysim.analysis.advice import Advice, OwnChoice, _advised, advice, advice_table, margin_of, own_choices
from raysim.analysis.front import choices
from raysim.analysis.gains import gains
from raysim.analysis.sweep import SweepResults

MARGIN = 0.02


def row(mitigation: str, strategy: str, bits: float | None, lines: float | None, gain: float | None = 0.1) -> OwnChoice:
    low = None if gain is None else gain - 0.05
    high = None if gain is None else gain + 0.05
    return OwnChoice("meta", mitigation, strategy, bits, gain, low, high, lines, 0.0, 0.1)


@pytest.mark.parametrize("seed", range(20))
def test_the_fewest_lines_among_what_is_affordable(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = [
        row(mitigation, strategy, float(generator.choice([1.0, 1.01, 1.02, 1.05])), float(generator.integers(3)), gain)
        for mitigation in ("none", "a", "b")
        for strategy in ("centralized", "fedavg")
        for gain in [float(generator.choice([-0.1, 0.1, 0.3]))]
    ]
    least = min(r.bits_per_byte or 0.0 for r in rows)
    affordable = [r for r in rows if (r.bits_per_byte or 0.0) <= least + MARGIN]
    gaining = [r for r in affordable if (r.gain or 0.0) > 0]
    expected = sorted(gaining, key=lambda r: (r.lines, r.bits_per_byte))[:1]
    found = _advised(rows, MARGIN)
    recommended = [r for r in found if r.recommended]
    assert [(r.lines, r.bits_per_byte) for r in recommended] == [(r.lines, r.bits_per_byte) for r in expected]
    assert [replace(r, affordable=False, recommended=False, reason="") for r in found] == rows
    assert [r.affordable for r in found] == [r in affordable for r in rows]


def test_the_reason_names_what_it_spares_and_costs() -> None:
    (found,) = advice(_advised([row("none", "fedavg", 1.0, 2.0), row("a", "fedavg", 1.015, 0.5)], MARGIN))
    assert found.choice is not None
    assert found.choice.mitigation == "a"
    assert found.reason == (
        "0.50 exclusive lines a prompt in place of 2.00 without a mitigation; 0.015 bits per byte over the least loss;"
        " +0.100 over training alone as it is"
    )


def test_a_gain_that_may_be_chance_is_called_so() -> None:
    (found,) = advice(_advised([row("none", "fedavg", 1.0, 2.0, gain=0.01)], MARGIN))
    assert found.reason == (
        "2.00 exclusive lines a prompt; the least loss of all; +0.010 over training alone as it is, which may be chance"
    )


def test_a_gain_without_an_interval_is_called_so() -> None:
    rows = [replace(row("a", "fedavg", 1.0, 2.0), low=None, high=None)]
    (found,) = advice(_advised(rows, MARGIN))
    assert found.reason.endswith("; +0.100 over training alone as it is, of which there is no interval")


def test_what_gains_nothing_is_not_worth_joining() -> None:
    (found,) = advice(_advised([row("none", "fedavg", 1.0, 2.0, gain=-0.01)], MARGIN))
    assert found == Advice(
        "meta", None, "alone: no setting within the margin models its files better than its own model does"
    )


def test_where_nothing_was_measured_nothing_is_advised() -> None:
    rows = [row("none", "fedavg", None, 2.0), row("a", "fedavg", 1.0, None)]
    (found,) = advice(_advised(rows, MARGIN))
    assert found == Advice("meta", None, "losses or leaked lines were not measured")


def test_a_comparison_has_a_row_for_everybody_and_one_advice(mitigated: SweepResults) -> None:
    rows = own_choices(mitigated, choices(mitigated))
    assert {(r.mitigation, r.strategy) for r in rows if r.mitigation != "none"} == {
        ("better", "fedavg"),
        ("worse", "fedavg"),
    }
    assert {r.organization for r in rows} == {"meta", "microsoft", "google"}
    assert len(advice(rows)) == 3
    assert margin_of(mitigated) == MARGIN
    assert [OwnChoice(**r) for r in advice_table(rows).to_pylist()] == rows


def test_whoever_joins_gains_over_training_alone_as_it_is(mitigated: SweepResults) -> None:
    """Not over its own model under the mitigation, which nobody who trains alone would take."""
    found = choices(mitigated)
    baseline = {point.name: results for point, results in mitigated.begun}["none"]
    alone = {gain.organization: gain.reported.alone for gain in gains(baseline)}
    for one in own_choices(mitigated, found):
        own = alone[one.organization]
        assert own is not None
        assert one.bits_per_byte is not None
        assert one.gain == pytest.approx(own - one.bits_per_byte)
        assert (one.low is None) == (one.mitigation != "none")
