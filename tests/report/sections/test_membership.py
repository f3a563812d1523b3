"""What the page says of membership, on rows made by hand."""

from dataclasses import replace

import pytest
from measured_tables import audited

from raysim.analysis.attacks import attacks_table
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.report.sections.membership import inference
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(build_run):
    return RunResults(open_run(audited(build_run())))


def test_cases_are_models_at_organizations_that_they_were_trained_on(results):
    cases = {(point.model, name) for point in finals(results.reached_models) for name in point.organizations}
    found = inference(results, attacks_table(results.run).to_pylist())
    assert found is not None
    assert f" of {len(cases)} cases of a final model and an organization" in found.verdict


def test_an_attack_shows_nothing_that_a_blind_guess_does_not(build_run):
    """The same attacks, where the splits differ by themselves."""
    results = RunResults(open_run(audited(build_run(), blind=6.0)))
    attacks = attacks_table(results.run).to_pylist()
    assert {row["verdict"] for row in attacks} == {"shows nothing"}
    found = inference(results, attacks)
    assert found is not None
    assert found.verdict.startswith("No attack is shown to beat the blind guess, without a model")
    assert {row.says for row in found.rows} <= {"shows nothing", "shows membership in 0 of 6 models"}


def test_blind_guesses_from_few_files_are_called_noisy(build_run):
    """Nine files of either kind at meta; ten at the others, which are not few."""
    results = RunResults(open_run(audited(build_run())))
    attacks = attacks_table(results.run).to_pylist()
    sizes = {"meta": {"member_files": 10, "non_member_files": 9}}
    default = {"member_files": 10, "non_member_files": 10}
    found = inference(results, [row | sizes.get(row["organization"], default) for row in attacks])
    assert found is not None
    assert "Blind guesses are noisy where a split has fewer than 10 files (meta: 10 and 9)" in found.verdict
    for row in found.rows:
        assert row.says.endswith(", with few files") == (row.organization == "meta")


def test_true_positives_stand_beside_those_of_the_blind_guess(results):
    attacks = attacks_table(results.run).to_pylist()
    found = inference(results, attacks)
    assert found is not None
    row = next(row for row in found.rows if (row.label, row.organization) == ("single: meta", "meta"))
    model = next(point.model for point in finals(results.reached_models) if point.organizations == ("meta",))
    mine = [row for row in attacks if (row["model"], row["organization"]) == (model, "meta")]
    best = max(mine, key=lambda one: one["auc"])
    cell = row.cells[[name for name, _ in found.columns].index("At 1 %")]
    assert cell.text == f"{100 * best['tpr_at_1_fpr']:.0f} %"
    assert cell.spread == f"blind {100 * best['blind_tpr_at_1_fpr']:.0f} %"


def test_a_model_that_two_settings_end_with_is_one_case(results):
    """Told twice over, by another label."""
    attacks = attacks_table(results.run).to_pylist()
    before = inference(results, attacks)
    twice = RunResults(results.run)
    twice.reached_models = [
        *results.reached_models,
        *(replace(point, strategy=f"{point.strategy} again") for point in results.reached_models),
    ]
    after = inference(twice, attacks)
    assert before is not None
    assert after is not None
    assert len(after.rows) == 2 * len(before.rows)
    assert after.verdict == before.verdict


def test_an_attack_without_a_baseline_shows_nothing_either(build_run):
    results = RunResults(open_run(audited(build_run(), blind=None)))
    attacks = attacks_table(results.run).to_pylist()
    assert {row["verdict"] for row in attacks} == {"no baseline"}
    assert {row["blind_auc"] for row in attacks} == {None}
    found = inference(results, attacks)
    assert found is not None
    assert "no blind guess to hold an attack against" in found.verdict
