"""Every measured verdict has a line on what could overturn it, of what its tables show."""

import pytest
from contrast_values import compared
from run_tables import Setting

from raysim.analysis.confound_checks import Check
from raysim.analysis.confounds import CHECKS, confounds, line, longer_training, size_with_diversity
from raysim.analysis.contrasts import all_contrasts
from raysim.analysis.findings import FINDINGS, assess
from raysim.analysis.loss_contrasts import F1_MIX, F1_SIZE

HALF, MIX = Setting("half", "single", 0.5, worse=0.3), Setting("mix", "centralized", 0.33, worse=-0.5)


@pytest.mark.parametrize(
    ("checks", "says"),
    [
        ([Check("a", "a1"), Check("b"), Check("c", "c1"), Check("d", "d1")], "a1; c1"),
        ([Check("a"), Check("b")], "none of those checked: a, b"),
        ([Check("a"), Check("b", known=False)], "none of those checked: a; not known from the tables: b"),
        ([Check("a", "a1"), Check("b", known=False)], "a1; not known from the tables: b"),
        ([Check("a", known=False)], "not known from the tables: a"),
    ],
)
def test_a_line_names_what_applies_or_what_was_looked_for(checks, says):
    assert line(checks) == says


def test_every_finding_has_checks():
    assert set(CHECKS) == {finding.name for finding in FINDINGS}
    assert all(CHECKS.values())


def test_every_contrast_has_a_line(build_results):
    results = build_results(leave_one_out=True, prompts=64, files=6, more=(HALF, MIX))
    found = all_contrasts(results)
    lines = confounds(results, found)
    assert set(lines) == {(name, c.name, c.arm) for name, one in found.items() for c in one.contrasts}
    assert all(lines.values())
    rows = assess(results)[1].to_pylist()
    assert {row["finding"] for row in rows if row["value"] is not None} == {f"F{i}" for i in range(1, 8)}
    for row in rows:
        where = row["finding"], row["contrast"], row["arm"]
        assert bool(row["confound"]) == (row["value"] is not None)
        assert not row["arm"] or row["confound"] == lines[where]


def test_what_was_not_measured_has_none_and_what_does_not_overlap_says_so(build_results):
    results = build_results()
    for m in results.reached_models:
        if m.family == "federated":
            results.measures(m.model)["training_loss", ""] = 9.0
    rows = {(row["finding"], row["arm"]): row["confound"] for row in assess(results)[1].to_pylist()}
    assert rows["F1", ""] is None
    assert rows["F3", ""] == rows["F3", "fedavg"]
    assert rows["F3", ""].startswith("training losses do not overlap")


def test_size_and_diversity_vary_together_unless_a_mix_tells(build_results):
    alone, both = build_results(memorization=False, more=(HALF,)), build_results(memorization=False, more=(HALF, MIX))
    assert "vary together" in size_with_diversity(compared(alone, "F1", F1_SIZE, "single")).found
    assert not size_with_diversity(compared(both, "F1", F1_SIZE, "single")).found
    assert not size_with_diversity(compared(both, "F1", F1_MIX, "mix")).found


def test_more_data_were_also_more_steps(build_results):
    results = build_results(memorization=False, more=(HALF, MIX))
    # 10 epochs of half of the tokens are half of the steps.
    assert longer_training(compared(results, "F1", F1_SIZE, "single")).found.startswith("2.0")
    assert not longer_training(compared(results, "F1", F1_MIX, "mix")).found
