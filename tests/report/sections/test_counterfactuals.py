"""What the page says of counterfactuals."""

from raysim.analysis.counterfactuals import counterfactuals_table
from raysim.report.sections.counterfactuals import section


def found_of(results):
    return section(results, counterfactuals_table(results).to_pylist())


def test_final_models_with_their_intervals_and_what_was_refused(build_results):
    found = found_of(build_results(seeds=(1, 2, 3, 4, 5), prompts=48, without=("fedyogi",), leave_one_out=True))
    assert found is not None
    (table,) = found.tables
    rows = {(row[0], row[1]): row[2:] for row in table.rows}
    assert rows["centralized", "meta"][1:] == ("–", "–", "no such model without meta; add"
        " `strategies: [{centralized: {leave_one_out: true}}]`")  # fmt: skip
    given, without, effect, interval = rows["incremental, trained last", "google"]
    assert float(effect) == float(f"{float(given) - float(without):.2f}") or abs(float(effect)) > 0
    low, high = (float(end.replace("−", "-")) for end in interval.split(" to "))
    assert 0 < low < float(effect) < high
    assert ("incremental, 2 stages before the end", "google") in rows
    assert ("single: google", "google") in rows
    assert ("single: google", "meta") not in rows
    assert "no such model" in found.note
    assert "of owners that a model was never trained on" in found.note


def test_few_seeds_are_said(build_results):
    found = found_of(build_results(prompts=8, leave_one_out=True))
    assert found is not None
    assert "too few seeds: 1, 5 are needed" in {row[-1] for row in found.tables[0].rows}
    assert found.note.startswith("0 of ")


def test_nothing_without_memorization(build_results):
    assert found_of(build_results(memorization=False)) is None
