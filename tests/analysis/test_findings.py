import dataclasses

import pytest
from run_tables import Setting

from raysim.analysis.findings import FINDINGS, assess, judge, write_findings
from raysim.analysis.paired import Found
from raysim.experiment.findings_settings import FindingsSettings
from raysim.tables.io import read_table, table_hash

FIVE = (1, 2, 3, 4, 5)


def rows_of(findings):
    """The rows of the findings themselves, and those of their arms."""
    rows = findings.to_pylist()
    return (
        {row["finding"]: row for row in rows if not row["arm"]},
        {(row["finding"], row["arm"]): row for row in rows if row["arm"]},
    )


@pytest.fixture(scope="module")
def small(build_results):
    return build_results(prompts=64, files=12)


@pytest.fixture(scope="module")
def assessed(small):
    return assess(small)


@pytest.fixture(scope="module")
def five(build_results):
    more = (Setting("half", "single", 0.5, worse=0.3), Setting("mix", "centralized", 0.33, worse=-0.5))
    return assess(build_results(seeds=FIVE, leave_one_out=True, prompts=64, files=6, more=more))


def test_every_finding_has_a_verdict(assessed):
    found, _ = rows_of(assessed[1])
    assert list(found) == [finding.name for finding in FINDINGS]
    assert found["F1"]["verdict"] == found["F7"]["verdict"] == "not measured"
    assert found["F4"]["verdict"] == "indicated (1 seed)"


def test_what_was_not_measured_names_the_line_to_add(assessed):
    note = rows_of(assessed[1])[0]["F7"]["note"]
    assert "`strategies: [{fedavg: {leave_one_out: true}}]`" in note


def test_verdicts_are_the_same_each_time(small, assessed):
    assert [table_hash(table) for table in assess(small)] == [table_hash(table) for table in assessed]


def test_an_organizations_own_models_and_several_passes_count_in_no_finding(assessed, build_results):
    """Personalized models are not the federation's, and cyclic training is another treatment than incremental."""
    more = (Setting("own", "personalized", worse=-1.0), Setting("again", "cyclic", worse=-1.0))
    beside = assess(build_results(prompts=64, files=12, more=more))
    assert [table_hash(table) for table in beside] == [table_hash(table) for table in assessed]


def test_with_five_seeds_the_planted_effects_are_found(five):
    found, arms = rows_of(five[1])
    # The synthetic losses lie 0.1 nats apart, twice the margin; half of the data costs 0.3, the mix gains 0.5.
    assert found["F2"]["verdict"] == "contradicted"
    assert {name: found[name]["verdict"] for name in ("F1", "F3", "F4", "F5", "F7")} == dict.fromkeys(
        ("F1", "F3", "F4", "F5", "F7"), "supported"
    )
    assert {arm for name, arm in arms if name == "F3"} == {"fedavg", "fedyogi"}
    assert all(row["adjusted_low"] <= row["low"] < row["value"] < row["high"] for row in arms.values())


def test_a_finding_shows_its_least_certain_arm(five):
    found, arms = rows_of(five[1])
    for name in ("F2", "F3", "F6"):
        own = [row for (finding, _), row in arms.items() if finding == name]
        assert found[name]["value"] == max(own, key=lambda row: row["p"])["value"]
        assert found[name]["p"] >= max(row["p"] for row in own) - 1e-12


def test_arms_that_differ_are_named(build_results):
    """A3: one at +0.7 nats and one at -0.9 made a mean that "supported"."""
    better = Setting("fedavg_better", "fedavg", variant="x", worse=-1.0)
    _, findings = assess(build_results(seeds=FIVE, more=(better,), memorization=False))
    found, arms = rows_of(findings)
    assert found["F2"]["verdict"] == "inconclusive"
    assert "the arms differ: fedavg contradicted, fedavg_better supported, fedyogi contradicted" in found["F2"]["note"]
    assert arms["F2", "fedavg_better"]["verdict"] == "supported"


def test_federated_that_leaks_nothing_does_not_support_f6(build_results):
    """A3: centralized alone carried it."""
    found, arms = rows_of(assess(build_results(seeds=FIVE, prompts=96))[1])
    own = {arm: row["verdict"] for (name, arm), row in arms.items() if name == "F6"}
    assert own["centralized"] == "supported"
    assert set(own) == {"centralized", "fedavg", "fedyogi"}
    assert set(own.values()) != {"supported"}
    assert found["F6"]["verdict"] != "supported"


def test_a_planted_zero_supports_nothing_and_is_refused(build_results):
    found, _ = rows_of(assess(build_results(leak=0.0, prompts=64, leave_one_out=True, seeds=FIVE))[1])
    for name in ("F3", "F4", "F5", "F6", "F7"):
        assert found[name]["verdict"] == "inconclusive"
        assert found[name]["low"] is None
        assert "too few files: 0 of" in found[name]["note"]


def test_arms_that_cannot_be_compared_say_so(build_results):
    results = build_results(seeds=FIVE)
    for m in results.reached_models:
        if m.strategy == "fedavg":
            results.measures(m.model)["training_loss", ""] = 9.0
    found, arms = rows_of(assess(results)[1])
    assert arms["F3", "fedavg"]["verdict"] == "not comparable"
    assert "more rounds of fedavg" in arms["F3", "fedavg"]["note"]
    assert "fedavg not comparable" in found["F3"]["note"]
    assert found["F3"]["verdict"] == "inconclusive"


def test_where_no_arm_can_be_compared_neither_can_the_finding():
    found = {finding.name: Found() for finding in FINDINGS}
    found["F3"].incomparable["fedavg"] = "more rounds"
    rows = {(row["finding"], row["arm"]): row for row in judge(found, [], FindingsSettings())}
    assert rows["F3", ""]["verdict"] == rows["F3", "fedavg"]["verdict"] == "not comparable"
    assert rows["F3", ""]["note"] == "fedavg: more rounds"


def test_margins_are_settings(build_results):
    wide = build_results(seeds=FIVE, memorization=False, files=12, findings={"F2": {"margin": 0.2}})
    row = rows_of(assess(wide)[1])[0]["F2"]
    assert (row["verdict"], row["margin"]) == ("supported", 0.2)


def test_a_model_that_has_diverged_decides_nothing(build_results):
    results = build_results(seeds=FIVE, memorization=False, files=12)
    (model,) = [m.model for m in results.reached_models if m.final and m.strategy == "fedavg" and m.seed == 3]
    results.losses.nats[results.losses.model_index[model]] = float("nan")
    row = rows_of(assess(results)[1])[0]["F2"]
    assert (row["verdict"], row["note"]) == (
        "not measured",
        "a model of the comparison has diverged: its loss is no number",
    )


def test_both_tables_are_written(build_run):
    folder = build_run()
    contrasts, findings = write_findings(folder)
    assert table_hash(read_table(folder, "contrasts")) == table_hash(contrasts)
    assert table_hash(read_table(folder, "findings")) == table_hash(findings)


def test_no_row_is_there_twice(five):
    for table, key in zip(five, (("finding", "contrast", "arm", "seed"), ("finding", "arm", "contrast")), strict=True):
        rows = [tuple(row[name] for name in key) for row in table.to_pylist()]
        assert len(set(rows)) == len(rows)


def test_findings_have_settings():
    assert {finding.name for finding in FINDINGS} == set(FindingsSettings.model_fields)
    assert dataclasses.fields(FINDINGS[0])
