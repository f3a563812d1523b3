from raysim.report.sections.zeros import at_zero


def test_settings_at_zero_are_named_with_what_that_is_worth(build_results):
    text = at_zero(build_results(leak=0.0))
    assert text.startswith("At zero, with the most that so few files allow (Wilson, 95 %): single: meta, single: micro")
    assert text.endswith("centralized, incremental, fedavg and fedyogi (≤ 24 % of prompts; fit not known).")


def test_nothing_is_said_where_everybody_gives_something_away(build_results):
    assert at_zero(build_results(prompts=64)) == at_zero(build_results(memorization=False)) == ""
