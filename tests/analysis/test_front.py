"""The front against sums by hand over the tables of its points, and dominance against every pair of choices."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest

from raysim.analysis.front import Choice, choices, compares_mitigations, front_table
from raysim.analysis.sweep import SweepResults, open_sweep


def loss_by_hand(sweep: SweepResults, name: str, seed: int) -> float:
    """Bits per byte of fedavg at a point, summed over the rows of `losses`."""
    results = {point.name: results for point, results in sweep.begun}[name]
    rows = results.run.table("models").to_pylist()
    (model,) = {r["model"] for r in rows if r["final"] and r["strategy"] == "fedavg" and r["seed"] == seed}
    losses = [r for r in results.run.table("losses").to_pylist() if r["model"] == model and r["split"] == "valid"]
    return sum(r["nats"] for r in losses) / log(2) / sum(r["bytes"] for r in losses)


def test_it_is_known_by_what_is_swept(mitigated: SweepResults, sweep: SweepResults) -> None:
    assert compares_mitigations(mitigated)
    assert not compares_mitigations(sweep)
    assert choices(sweep) == []


@pytest.mark.parametrize(("name", "sign"), [("better", -1), ("worse", 1)])
def test_losses_and_their_differences_by_hand(mitigated: SweepResults, name: str, sign: int) -> None:
    (choice,) = [c for c in choices(mitigated) if (c.mitigation, c.strategy) == (name, "fedavg")]
    by_hand = {which: sum(loss_by_hand(mitigated, which, seed) for seed in (1, 2)) / 2 for which in ("none", name)}
    assert choice.bits_per_byte == pytest.approx(by_hand[name], rel=1e-9)
    assert choice.bits_more == pytest.approx(by_hand[name] - by_hand["none"], rel=1e-6)
    low, more, high = choice.bits_low, choice.bits_more, choice.bits_high
    assert low is not None
    assert more is not None
    assert high is not None
    assert low < more < high
    assert more * sign > 0
    assert choice.seeds == 2


def test_what_a_mitigation_does_not_concern_is_the_same_model(mitigated: SweepResults) -> None:
    found = {(c.mitigation, c.strategy): c for c in choices(mitigated)}
    assert {key for key, c in found.items() if c.changed} == {("better", "fedavg"), ("worse", "fedavg")}
    same = found["better", "centralized"]
    assert (same.bits_more, same.lines_more) == (0, 0)
    assert same.exclusive == found["none", "centralized"].exclusive
    assert "single" not in {strategy for _, strategy in found}


def test_dominance_by_every_pair(mitigated: SweepResults) -> None:
    found = choices(mitigated)
    for choice in found:
        if not (choice.changed or choice.mitigation == "none"):
            assert choice.dominated_by == ""
            continue
        better = [
            other.mitigation
            for other in found
            if other.strategy == choice.strategy
            and (other.changed or other.mitigation == "none")
            and all(ours <= theirs for ours, theirs in zip(both(other), both(choice), strict=True))
            and both(other) != both(choice)
        ]
        assert choice.dominated_by in (better or [""])
    assert any(choice.dominated_by for choice in found)


def both(choice: Choice) -> tuple[float, float]:
    assert choice.bits_per_byte is not None
    assert choice.exclusive is not None
    return choice.bits_per_byte, choice.exclusive


def test_what_was_not_measured_beats_nothing(mitigated: SweepResults) -> None:
    choice = choices(mitigated)[0]
    best = replace(choice, bits_per_byte=0.0, exclusive=0.0)
    assert best.beats(choice)
    for unmeasured in (replace(best, exclusive=None), replace(best, bits_per_byte=None)):
        assert not unmeasured.beats(choice)
        assert not best.beats(unmeasured)
    assert not choice.beats(choice)
    assert not best.beats(replace(choice, renamed=1.0))
    assert replace(best, renamed=0.5).beats(replace(choice, renamed=1.0))
    assert not replace(best, renamed=1.5).beats(replace(choice, renamed=1.0))


def test_the_table_has_a_row_a_choice(mitigated: SweepResults) -> None:
    table = front_table(choices(mitigated))
    assert [Choice(**row) for row in table.to_pylist()] == choices(mitigated)


SIZE = {"prompts": 8, "files": 4}


def compared(build_sweep: Callable[..., Path], **runs: dict[str, Any]) -> list[Choice]:
    points = [((json.dumps(name),), settings) for name, settings in runs.items()]
    return choices(open_sweep(build_sweep({"mitigation": "mitigation"}, points, list(runs))))


def test_other_answers_of_the_same_models_are_choices(build_sweep: Callable[..., Path]) -> None:
    """As under an output filter, which trains nothing anew and gives away fewer lines."""
    found = {(c.mitigation, c.strategy): c for c in compared(build_sweep, none=SIZE, filter=SIZE | {"leak": 0.2})}
    for strategy in ("centralized", "incremental", "fedavg", "fedyogi"):
        plain, filtered = found["none", strategy], found["filter", strategy]
        assert filtered.changed
        assert filtered.bits_more == 0
        assert both(filtered)[1] < both(plain)[1]
        assert (plain.dominated_by, filtered.dominated_by) == ("filter", "")


def test_without_a_baseline_there_is_no_front(build_sweep: Callable[..., Path]) -> None:
    diverged = SIZE | {"without": ("centralized", "incremental", "fedavg", "fedyogi")}
    assert compared(build_sweep, none=diverged, other=SIZE) == []


def test_models_without_an_organization_change_nothing(build_sweep: Callable[..., Path]) -> None:
    arms = SIZE | {"leave_one_out": True}
    assert compared(build_sweep, none=arms, same=arms) == compared(build_sweep, none=SIZE, same=SIZE)
