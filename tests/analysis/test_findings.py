import numpy as np
import pytest

from raysim.analysis.findings import FINDINGS, Estimate, _adjusted, _verdict, assess, write_findings
from raysim.analysis.results import RunResults
from raysim.tables.io import read_table, table_hash
from raysim.tables.results import open_run

FEDERATED_CLOSE, LAST = FINDINGS[1], FINDINGS[3]


def estimate(finding, values, low=0.0, high=0.0):
    n = len(values)
    return Estimate(
        finding.primaries[0], "unit", "", tuple(range(n)), tuple(values), ((low, high),) * n, (9,) * n, low, high
    )


def verdict(finding, *args):
    estimates = {f.name: {} for f in FINDINGS}
    estimates[finding.name] = {finding.primaries[0]: estimate(finding, *args)}
    return _verdict(finding, estimates[finding.name], [], _adjusted(estimates))["verdict"]


def test_five_seeds_in_the_stated_direction_support():
    assert verdict(LAST, [1.0, 1.2, 0.9, 1.1, 1.0]) == "supported"


def test_five_seeds_in_the_other_direction_contradict():
    assert verdict(LAST, [-1.0, -1.2, -0.9, -1.1, -1.0]) == "contradicted"


def test_a_difference_below_the_margin_is_inconclusive():
    assert verdict(LAST, [0.05, 0.051, 0.049, 0.05, 0.05]) == "inconclusive"


def test_seeds_that_disagree_are_inconclusive():
    assert verdict(LAST, [1.0, -1.2, 0.9, -1.1, 1.0]) == "inconclusive"


def test_equivalence_needs_the_interval_inside_the_margin():
    assert verdict(FEDERATED_CLOSE, [0.01, 0.012, 0.009, 0.011, 0.01]) == "supported"
    assert verdict(FEDERATED_CLOSE, [0.1, 0.12, 0.09, 0.11, 0.1]) == "contradicted"
    assert verdict(FEDERATED_CLOSE, [0.03, 0.06, 0.04, 0.07, 0.05]) == "inconclusive"


def test_four_seeds_indicate_at_best():
    assert verdict(LAST, [1.0, 1.2, 0.9, 1.1], 0.5, 1.5) == "indicated (4 seeds)"
    assert verdict(LAST, [1.0], 0.5, 1.5) == "indicated (1 seed)"


def test_an_interval_over_zero_or_on_the_other_side_is_inconclusive():
    assert verdict(LAST, [1.0], -0.1, 1.5) == "inconclusive"
    assert verdict(LAST, [-1.0], -1.5, -0.5) == "inconclusive"


def test_no_interval_is_inconclusive():
    assert verdict(LAST, [1.0], np.nan, np.nan) == "inconclusive"


def test_more_findings_make_each_harder():
    values = [0.9, 0.2, 0.5, 0.3, 0.6]
    alone = {f.name: {} for f in FINDINGS} | {"F4": {LAST.primaries[0]: estimate(LAST, values)}}
    among = {f.name: {name: estimate(f, values) for name in f.primaries} for f in FINDINGS}
    assert _adjusted(alone)["F4"][0] < _adjusted(among)["F4"][0]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_model_that_has_diverged_decides_nothing(wrong):
    """A finding that it is in is not measured; the others are adjusted as if they were alone."""
    values = [1.0, 1.2, 0.9, 1.1, 1.0]
    assert verdict(LAST, [*values[:4], wrong]) == "not measured"
    assert verdict(LAST, [wrong], 0.5, 1.5) == "not measured"
    alone = {f.name: {} for f in FINDINGS} | {"F4": {LAST.primaries[0]: estimate(LAST, values)}}
    beside = alone | {"F2": {FEDERATED_CLOSE.primaries[0]: estimate(FEDERATED_CLOSE, [*values[:4], wrong])}}
    assert _adjusted(beside) == _adjusted(alone)


@pytest.fixture(scope="module")
def assessed(run):
    return assess(RunResults(open_run(run)))


def test_every_finding_has_a_verdict(assessed):
    _, findings = assessed
    verdicts = {row["finding"]: row["verdict"] for row in findings.to_pylist()}
    assert set(verdicts) == {f"F{i}" for i in range(1, 8)}
    assert verdicts["F1"] == verdicts["F7"] == "not measured"
    assert verdicts["F4"] == "indicated (1 seed)"


def test_what_was_not_measured_names_the_line_to_add(assessed):
    note = next(row["note"] for row in assessed[1].to_pylist() if row["finding"] == "F7")
    assert "strategies: [" in note


def test_verdicts_are_the_same_each_time(run, assessed):
    again = assess(RunResults(open_run(run)))
    assert [table_hash(table) for table in again] == [table_hash(table) for table in assessed]


def test_with_five_seeds_the_planted_effects_are_found(build_run):
    _, findings = assess(RunResults(open_run(build_run(seeds=(1, 2, 3, 4, 5), leave_one_out=True, prompts=12))))
    verdicts = {row["finding"]: row["verdict"] for row in findings.to_pylist()}
    # The synthetic losses lie 0.1 nats apart, twice the margin.
    assert verdicts["F2"] == "contradicted"
    assert verdicts["F4"] == verdicts["F7"] == "supported"


def test_a_planted_zero_supports_nothing(build_run):
    _, findings = assess(RunResults(open_run(build_run(leak=0.0))))
    rows = {row["finding"]: row for row in findings.to_pylist()}
    assert all(rows[name]["verdict"] in ("inconclusive", "not measured") for name in ("F3", "F4", "F5", "F6", "F7"))


def test_both_tables_are_written(build_run):
    folder = build_run()
    contrasts, findings = write_findings(folder)
    assert table_hash(read_table(folder, "contrasts")) == table_hash(contrasts)
    assert table_hash(read_table(folder, "findings")) == table_hash(findings)
