"""Verdicts of an audit: by intervals against the control, refused where files are too few."""

import numpy as np
import pytest

from raysim.analysis.audit import Proportion, _verdict
from raysim.analysis.statistics import wilson


def share(hits: int, trials: int) -> Proportion:
    low, high = wilson(hits, trials)
    return Proportion(value=hits / trials, low=low, high=high, trials=trials)


@pytest.mark.parametrize(
    ("leaking", "control", "verdict"),
    [
        (share(15, 30), share(0, 30), "gives code away"),
        (share(15, 30), share(14, 30), "nothing beyond the control"),
        (share(0, 30), share(0, 30), "nothing beyond the control"),
        (share(15, 30), None, "gives lines away, without a control"),
        (share(15, 30), share(0, 9), "gives lines away, without a control"),
        (share(0, 30), None, "refused"),
        (share(9, 9), share(0, 30), "refused"),
        (None, None, "refused"),
    ],
)
def test_verdicts(leaking: Proportion | None, control: Proportion | None, verdict: str) -> None:
    found, why = _verdict(leaking, control)
    assert found == verdict
    assert why


def test_a_refusal_says_what_is_lacking() -> None:
    assert _verdict(share(1, 3), None)[1] == "its prompts come from 3 files, and 10 are needed"
    assert "at most 11% of prompts would" in _verdict(share(0, 30), None)[1]


def test_no_false_verdict_without_an_effect() -> None:
    """Intervals that do not touch are stricter than a test at 5 %: equal chances tell apart once in 200 at most."""
    generator = np.random.default_rng(1)
    for chance in (0.05, 0.3):
        told = sum(
            _verdict(share(generator.binomial(40, chance), 40), share(generator.binomial(40, chance), 40))[0]
            == "gives code away"
            for _ in range(2000)
        )
        assert told / 2000 < 0.01
