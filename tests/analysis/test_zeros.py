"""A zero has the bound of Wilson's interval, with files as trials, and says whether the models were fitted."""

from pathlib import Path

import pytest
from measured_tables import held_against

from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import wilson
from raysim.analysis.zeros import Zero, zero_of, zero_of_setting
from raysim.tables.results import open_run


def final(results, strategy):
    return [m for m in finals(results.reached_models) if m.strategy == strategy]


@pytest.mark.parametrize(
    ("fit", "mark", "text"),
    [
        ("fitted", "≤31 %", "≤ 31 % of prompts; fitted"),
        ("undertrained", "≤31 %†", "≤ 31 % of prompts; undertrained"),
        ("", "≤31 %?", "≤ 31 % of prompts; fit not known"),
    ],
)
def test_how_it_is_said(fit, mark, text):
    assert (Zero(0.307, fit).mark, Zero(0.307, fit).text) == (mark, text)


def test_the_bound_counts_files_and_not_prompts(build_results):
    results = build_results(prompts=8)
    arrays = results.prompts
    zero = zero_of(results, final(results, "fedavg"), ["meta"], arrays.from_training)
    # Two prompts a file; the fourth of each four is held out, so all of the twelve files have one from training.
    assert zero.high == pytest.approx(wilson(0, 12)[1])


def test_a_setting_that_gives_something_away_is_no_zero(build_results):
    results = build_results(prompts=32)
    assert zero_of_setting(results, final(results, "centralized")) is None


def test_a_setting_that_gives_nothing_away(build_run):
    results = RunResults(open_run(held_against(Path(build_run(leak=0.0)))))
    zero = zero_of_setting(results, final(results, "fedavg"))
    assert zero is not None
    assert zero.fit == "fitted"  # 0.3 bits a byte of training text, 2.0 by zlib


def test_what_was_not_measured_is_no_zero(build_results):
    results = build_results(memorization=False)
    assert zero_of_setting(results, final(results, "fedavg")) is None
