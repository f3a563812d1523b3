import pytest

from raysim.report.sections.zeros import TrainedLess, at_zero, behind, none_given, trained_less


def test_settings_at_zero_are_named_with_what_that_is_worth(build_results):
    text = at_zero(build_results(leak=0.0))
    assert text.startswith("At zero, with the most that so few files allow (Wilson, 95 %): single: meta, single: micro")
    assert "centralized, incremental, fedavg and fedyogi (≤ 24 % of prompts; fit not known). But " in text


def test_the_first_screen_names_those_over_all_organizations(build_results):
    text = none_given(build_results(leak=0.0, perplexity=False))
    assert text == "No line from centralized, incremental, fedavg and fedyogi (≤ 24 % of prompts; fit not known)."


def test_nothing_is_said_where_everybody_gives_something_away(build_results):
    for said in (at_zero, none_given):
        assert said(build_results(prompts=64)) == said(build_results(memorization=False)) == ""


@pytest.mark.parametrize(
    ("losses", "reference", "names"),
    [
        ({}, None, []),
        ({"centralized": 0.68, "fedavg": 1.17, "incremental": 0.69}, "centralized", ["fedavg"]),
        # Better than the reference is not trained less, and equal to two hundredths is equal.
        ({"centralized": 1.0, "fedavg": 0.5}, "centralized", []),
        ({"fedavg": 1.17, "incremental": 0.88}, None, ["fedavg"]),
        ({"fedavg": 1.17, "incremental": 0.88}, "centralized", ["fedavg"]),
        ({"fedavg": 1.17}, None, []),
    ],
    ids=["none", "one", "better", "no reference", "reference not measured", "one setting"],
)
def test_who_is_trained_less(losses, reference, names):
    assert list(behind(losses, reference)) == names


def test_what_is_said_of_it():
    assert TrainedLess(1.1677, "centralized", 0.6777).text == "trained less: 1.17 against 0.68 nats"


def test_a_zero_that_is_trained_less_says_so(build_results):
    results = build_results(leak=0.0)
    assert list(trained_less(results)) == ["fedavg", "fedyogi"]
    for said in (at_zero(results), none_given(results)):
        assert said.endswith(
            " But fedavg and fedyogi are trained less than centralized: training loss 0.65 and 0.65 against 0.45 nats."
        )
